"""Turn the text of a result into findings: carrier, SIM lock, Find My iPhone, blacklist. Pure."""

from devices.brands import brand_of, brands_of_service, fits
from devices.device_report import INDEXED_FINDINGS, MAX_VALUE, read_report, short_value
from devices.states import STATE_OF, SimState, blacklist_state, fmi_state, sim_state
