"""Fewest coins for a sum."""


def fewest_coins(amount: int, coins: list[int]) -> int:
    """The least number of coins that add up to `amount`, or -1 if none do.

    Every coin may be used as often as needed; coins are positive.
    """
    best = [0] + [-1] * amount
    for total in range(1, amount + 1):
        reachable = [best[total - coin] for coin in coins if coin <= total and best[total - coin] >= 0]
        if reachable:
            best[total] = min(reachable) + 1
    return best[amount]


def test_fewest_coins() -> None:
    assert fewest_coins(0, [1, 5]) == 0
    assert fewest_coins(11, [1, 5, 6]) == 2
    assert fewest_coins(8, [1, 4, 6]) == 2
    assert fewest_coins(7, [2, 4]) == -1
