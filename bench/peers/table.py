"""What is printed: a block a case as it is measured, and a table of all cases in the end."""

import statistics


def spread(values, digits):
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def digits(rate):
    return 0 if rate >= 100 else 1


def block(case, results):
    """Everyone's pictures a second and Percept's ratio to them."""
    lines = [f"{case.network.name} {case.network.side} px, {case.mode}, batch {case.batch}"]
    percept = results[0]
    for result in results:
        line = f"  {result.contender.label:<34}"
        if result.rates:
            line += f"{spread(result.rates, digits(result.rate)):<26}"
        if result is not percept and result.rates and percept.rates:
            line += f"ratio {spread(result.ratios(percept), 2):<26}"
        if result.error:
            line += f"ERROR: {result.error}"
        elif result.difference:
            line += f"difference {result.difference:.0e}"
        lines.append(line.rstrip())
    return "\n".join(lines)


def best(results):
    """The fastest variant of each peer, by the peer's name."""
    fastest = {}
    for result in results:
        peer = result.contender.peer
        if peer not in fastest or result.rate > fastest[peer].rate:
            fastest[peer] = result
    return fastest


def row(case, results, peers):
    percept, fastest = results[0], best(results[1:])
    cells = [case.network.name, case.mode, str(case.batch), f"{percept.rate:.{digits(percept.rate)}f}" if percept.rates else "error"]
    timed = [result for result in fastest.values() if result.rates]
    if timed and percept.rates:
        winner = max(timed, key=lambda result: result.rate)
        cells.append(f"**{statistics.median(winner.ratios(percept)):.2f}** {winner.contender.label}")
    else:
        cells.append("")
    for peer in peers:
        result = fastest.get(peer)
        if result is None:
            cells.append("")
        elif not result.rates or not percept.rates:
            cells.append("error")
        else:
            cells.append(f"{statistics.median(result.ratios(percept)):.2f}")
    return cells


def table(measured, peers):
    """Markdown: a row a case, Percept's pictures a second, and its ratio to the fastest variant of each peer."""
    head = ["network", "mode", "batch", "Percept, pictures/s", "ratio to the fastest", *peers]
    rows = [head, ["---"] * len(head), *(row(case, results, peers) for case, results in measured)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


def record(case, results):
    """The same for machines."""
    percept = results[0]
    return {
        "network": case.network.name,
        "side": case.network.side,
        "mode": case.mode,
        "batch": case.batch,
        "contenders": [
            {
                "peer": result.contender.peer,
                "variant": result.contender.variant,
                "images_per_second": result.rates,
                "ratios": result.ratios(percept) if result is not percept else [],
                "difference": result.difference,
                "error": result.error,
            }
            for result in results
        ],
    }
