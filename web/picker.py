"""The services as the picker lists them: favourites and recent ones first, and the one that is chosen at first."""

from collections.abc import Mapping
from dataclasses import dataclass

from backend import backend
from orders import Catalogue, ServiceInfo
from storage.customer_store import default_service
from storage.preference_store import prefer, preference
from storage.service_figure_store import figures
from storage.service_marks import favourites, recent_services
from web.access import current_actor
from web.service_experience import hint

#: The name of the preference.
DEFAULT_SERVICE = "default_service"


@dataclass(frozen=True, slots=True)
class ServiceChoices:
    """The services of a picker in two groups."""

    first: tuple[ServiceInfo, ...]  #: favourites, then those of the newest batches
    others: tuple[ServiceInfo, ...]
    favourites: frozenset[str]  #: service ids
    hints: Mapping[str, str]  #: service id → what our own orders say


def service_choices(catalogue: Catalogue) -> ServiceChoices:
    """Return the services of the list for a picker."""
    marked, recent = favourites(backend().database), recent_services(backend().database)
    listed = {service.package_id: service for service in catalogue.services}
    names = [*(name for name in listed if name in marked), *(name for name in recent if name in listed)]
    first = dict.fromkeys(names)
    others = tuple(service for name, service in listed.items() if name not in first)
    hints = {name: words for name, found in figures(backend().database).items() if (words := hint(found))}
    return ServiceChoices(tuple(listed[name] for name in first), others, marked, hints)


def preselected(catalogue: Catalogue, service_id: str, customer: str = "") -> str:
    """Return the service that a form shows at first: this one; else the first of these that can be ordered.

    The default of the customer, that of the person, and the last one that was used.
    """
    if service_id:
        return service_id
    database, orderable = backend().database, {one.package_id for one in catalogue.services if one.orderable}
    defaults = [default_service(database, customer) if customer else "", own_service()]
    return next((name for name in (*defaults, *recent_services(database)) if name in orderable), "")


def own_service() -> str:
    """Return the id of the service that the person of this request chose as default; "" without one."""
    return preference(backend().database, current_actor().name, DEFAULT_SERVICE) or ""


def choose_own_service(service_id: str) -> None:
    """Choose the default service of the person of this request; "" is none."""
    prefer(backend().database, current_actor().name, DEFAULT_SERVICE, service_id or None)


def offered(catalogue: Catalogue, customer: str, service_id: str) -> ServiceInfo | None:
    """Return the default service of a customer, where it can be ordered and is not the one that is shown."""
    name = default_service(backend().database, customer) if customer else ""
    found = catalogue.find(name) if name and name != service_id else None
    return found if found and found.orderable else None
