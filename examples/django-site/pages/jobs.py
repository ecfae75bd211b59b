"""What the rq worker runs."""


def count_primes(limit):
    """How many primes are below limit: the sieve of Eratosthenes."""
    if limit < 3:
        return 0
    sieve = bytearray([1]) * limit
    sieve[0] = sieve[1] = 0
    for number in range(2, int(limit**0.5) + 1):
        if sieve[number]:
            multiples = range(number * number, limit, number)
            sieve[number * number :: number] = bytes(len(multiples))
    return sum(sieve)
