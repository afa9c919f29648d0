"""Answers of the provider with made-up IMEIs."""

from orders import PlacedOrder

IMEI_A, IMEI_B, IMEI_C = "350000000000014", "350000000000022", "350000000000030"
ORDER_A = f"<imeis><id>15562209</id><imei>{IMEI_A}</imei><status>Pending</status></imeis>"
ORDER_B = f"<imeis><id>15562210</id><imei>{IMEI_B}</imei><status>Pending</status></imeis>"
PLACED_A, PLACED_B = PlacedOrder("15562209", IMEI_A), PlacedOrder("15562210", IMEI_B)
