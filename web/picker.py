"""The services as the picker lists them: favourites and recent ones first, and the one that is chosen at first."""

from dataclasses import dataclass

from backend import backend
from orders import Catalogue, ServiceInfo
from storage.service_marks import favourites, recent_services


@dataclass(frozen=True, slots=True)
class ServiceChoices:
    """The services of a picker in two groups."""

    first: tuple[ServiceInfo, ...]  #: favourites, then those of the newest batches
    others: tuple[ServiceInfo, ...]
    favourites: frozenset[str]  #: service ids


def service_choices(catalogue: Catalogue) -> ServiceChoices:
    """Return the services of the list for a picker."""
    marked, recent = favourites(backend().database), recent_services(backend().database)
    listed = {service.package_id: service for service in catalogue.services}
    names = [*(name for name in listed if name in marked), *(name for name in recent if name in listed)]
    first = dict.fromkeys(names)
    others = tuple(service for name, service in listed.items() if name not in first)
    return ServiceChoices(tuple(listed[name] for name in first), others, marked)


def preselected(catalogue: Catalogue, service_id: str) -> str:
    """Return the service that a form shows at first: this one, or the last one that was used and can be ordered."""
    if service_id:
        return service_id
    orderable = {service.package_id for service in catalogue.services if service.orderable}
    return next((name for name in recent_services(backend().database) if name in orderable), "")
