"""The nouns: what is derived from them alone."""

from orders import order_key


def test_an_order_key_is_the_same_for_an_item_each_time_and_no_other_item_has_it() -> None:
    keys = {order_key("5f" * 16, item_id) for item_id in range(1, 2001)}
    assert len(keys) == 2000
    assert order_key("5f" * 16, 1) in keys
    assert all(len(key) == 32 and int(key, 16) >= 0 for key in keys)


def test_two_databases_have_no_order_key_in_common() -> None:
    one, other = ({order_key(install, item_id) for item_id in range(1, 500)} for install in ("aa" * 16, "ab" * 16))
    assert one.isdisjoint(other)
