#!/usr/bin/env python3
"""Simulates queue and leases of a state on PostgreSQL and its servers, under the load of a large platform.

    simulate.py [--components N] [--replicas N] [--workers N] [--hours H] [--seed S] [RATE…]

Products arrive as a Poisson process, frequently changed ones more often. Each sends requests for some of its components at
once. A request waits for a worker and, if another request of its component runs, for the lease of that one. Then it runs as
long as its provider calls take. The costs below, measured by `tests/load/costs`, give its load on PostgreSQL. RATE is the
number of provisions an hour. Prints a line for each RATE.
"""

import argparse
import heapq
import random
from collections import deque

# Measured by tests/load/costs (docs/scale.md says where and when).
TRANSACTIONS = 31.0  # of a provision: request, claim, leases, journal, outputs, log, end, and its reads
POSTGRES = 0.0112  # seconds of one processor for them
SERVER = 0.0057  # seconds of one processor for reading, planning and recording
KEEPING = 1 / 5  # transactions a second for each running request: the heartbeat of its claim
IDLE = 1.9  # transactions a second of a server, idle or not
# Of the platform: a coordinator polls the status of a request, and provider calls take time.
POLLING = 1 / 5  # calls a second for each request that has not ended
MEDIAN, SIGMA = 8.0, 1.2  # seconds that a provision's providers take: log-normal, 1 in 100 takes two minutes
AT_ONCE = (1, 1, 1, 2, 3, 5, 8)  # components of one product that are provisioned together
POSTGRES_PROCESSORS = 4


def simulate(rate, components, replicas, workers, hours, seed):
    chance = random.Random(seed)
    products = max(1, components // 8)
    end = hours * 3600
    per_product = sum(AT_ONCE) / len(AT_ONCE)
    now, total_workers = 0.0, replicas * workers
    free, waiting, held = total_workers, deque(), {}
    events = [(chance.expovariate(rate / 3600 / per_product), 0, None)]
    waits, behind, done, busy, open_requests, count = [], 0, 0, 0.0, 0.0, 1
    alive, working = 0, 0

    def begin(component, came):
        nonlocal free, working, count
        free -= 1
        working += 1
        waits.append(now - came)
        took = SERVER + chance.lognormvariate(0, SIGMA) * MEDIAN
        heapq.heappush(events, (now + took, count, component))
        count += 1

    def next_ones():
        while free and waiting:
            begin(*waiting.popleft())

    while events:
        at, _, component = heapq.heappop(events)
        if at > end and component is None:
            break
        busy += working * (min(at, end) - min(now, end))
        open_requests += alive * (min(at, end) - min(now, end))
        now = at
        if component is None:
            # The products with the most changes are a thousandth of all, and half of the requests.
            often = chance.random() < 0.5
            product = chance.randrange(max(1, products // 1000)) if often else chance.randrange(products)
            for one in chance.sample(range(8), chance.choice(AT_ONCE)):
                alive += 1
                asked = (product, one)
                # Only one request of a component runs at a time: workers do not claim the others.
                if asked in held:
                    held[asked].append(now)
                    behind += 1
                else:
                    held[asked] = deque()
                    waiting.append((asked, now))
            next_ones()
            heapq.heappush(events, (now + chance.expovariate(rate / 3600 / per_product), count, None))
            count += 1
            continue
        free += 1
        working -= 1
        alive -= 1
        done += 1
        later = held[component]
        if later:
            waiting.append((component, later.popleft()))
        else:
            del held[component]
        next_ones()
    waits.sort()
    at = lambda part: waits[min(len(waits) - 1, int(part * len(waits)))] if waits else 0.0
    seconds = end
    finished = done / seconds
    transactions = finished * TRANSACTIONS + busy / seconds * KEEPING + open_requests / seconds * POLLING * 2 + replicas * IDLE
    postgres = transactions * POSTGRES / TRANSACTIONS / POSTGRES_PROCESSORS
    server = finished * SERVER / replicas
    return at(0.5), at(0.99), busy / seconds / total_workers, behind / max(1, len(waits)), transactions, postgres, server


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--components", type=int, default=1_000_000)
    parser.add_argument("--replicas", type=int, default=50)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--hours", type=float, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("rates", type=int, nargs="*", default=[10_000, 30_000, 100_000, 150_000, 300_000])
    given = parser.parse_args()
    print(f"{given.components:,} components, {given.replicas} servers of {given.workers} workers, {given.hours:g} h each")
    print(f"{'an hour':>10} {'wait p50':>9} {'p99':>9} {'workers':>8} {'behind own':>11} {'transactions':>13} {'PostgreSQL':>11} {'a server':>9}")
    for rate in given.rates:
        p50, p99, busy, behind, transactions, postgres, server = simulate(
            rate, given.components, given.replicas, given.workers, given.hours, given.seed
        )
        print(f"{rate:>10,} {p50:>8.2f}s {p99:>8.1f}s {busy:>8.0%} {behind:>11.1%} {transactions:>11,.0f}/s {postgres:>11.0%} {server:>9.1%}")


if __name__ == "__main__":
    main()
