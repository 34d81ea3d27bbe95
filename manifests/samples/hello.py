"""The smallest script test: computes something, says where it ran, and fails loudly if the result is wrong.

Needs no Kubeflow and nothing but Python.
"""

import socket
import sys

terms = range(1, 101)
total = sum(term * term for term in terms)

print(f"pod: {socket.gethostname()}")
print(f"arguments: {sys.argv[1:]}")
print(f"sum of the first {len(terms)} squares: {total}")

assert total == 100 * 101 * 201 // 6, f"{total} is not what the closed formula gives"
