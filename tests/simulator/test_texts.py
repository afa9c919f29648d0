"""The services and the results that the simulated provider gives."""

from simulator_calls import A, ask

from simulator.server import Simulator
from simulator.texts import catalogue, result_text


def test_236_services_are_listed_with_their_prices_categories_and_mandatory_fields(simulator: Simulator) -> None:
    packages = list(ask(simulator, "imeiservices"))
    prices = {package.findtext("PackageId"): float(package.findtext("PackagePrice", "")) for package in packages}
    assert len(prices) == len(packages) == 236
    assert (prices["1739"], prices["269"]) == (0.08, 0.08)
    assert (min(prices.values()), max(prices.values())) == (0.02, 25.0)
    assert sum(package.find(".//Mandatory") is not None for package in packages) == 3
    assert any("&" in package.findtext("PackageTitle", "") for package in packages)


def test_a_device_says_the_same_whichever_service_asks() -> None:
    packages = {package.package_id: package for package in catalogue()}
    full, network = result_text(packages["1739"], A), result_text(packages["269"], A)
    model = full.split("<br>")[0].removeprefix("Model: ")
    assert network.startswith(f"Device Model: {model}<br>")
    assert all(result_text(package, A) for package in packages.values())
