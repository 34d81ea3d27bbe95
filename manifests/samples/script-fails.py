"""A script test that fails, to see how a failure is told: the traceback and exit code 1 belong in the report."""

import socket


class StockError(Exception):
    """Raised when an order asks for more than there is."""


def take(stock, wanted):
    """What is left of `stock` after `wanted` was taken."""
    if wanted > stock:
        raise StockError(f"{wanted} wanted, but only {stock} in stock")
    return stock - wanted


print(f"pod: {socket.gethostname()}")
left = take(10, 4)
print(f"left after the first order: {left}")
take(left, 7)
