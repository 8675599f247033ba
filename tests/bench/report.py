# report.py - the figures of goals.py as a table, as JSON and as a plot.
#
# SPDX-License-Identifier: MIT
import html
import json
import math
import os
import statistics

# What a figure of kpopd is put beside, the first that was measured.
BOUNDS = ("bare", "library", "kpopd-1", "alone")
PEER = "Dovecot"


def number(value):
    """Three digits that count, and no exponent."""
    if value is None:
        return "-"
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:,.{digits}f}".replace(",", " ")


def spread(values):
    return (f"{number(statistics.median(values))} "
            f"({number(min(values))} to {number(max(values))})")


def verdict(met):
    return {None: "", True: "met", False: "missed"}[met]


def show(row, factor):
    print(f"\n{row.name}: {row.title}, {row.unit}")
    for what, values in row.found.items():
        print(f"  {what:26} {spread(values)}")
    if row.limit is not None:
        sign = ">=" if row.least else "<="
        print(f"  goal {sign} {number(row.goal(factor))}"
              f"{' x ' + row.against if row.against else ''}, measured "
              f"{number(row.figure())}: {verdict(row.met(factor))}",
              flush=True)


def result(row, factor):
    found = {what: {"median": statistics.median(values), "min": min(values),
                    "max": max(values), "rounds": values}
             for what, values in row.found.items()}
    beside = next((b for b in BOUNDS if b in found), None)
    return {"name": row.name, "title": row.title, "unit": row.unit,
            "goal": row.goal(factor), "against": row.against,
            "least": row.least, "measured": row.figure(),
            "met": row.met(factor), "bound": beside,
            "ratio_to_bound": row.ratio(beside) if beside else None,
            "ratio_to_dovecot": row.ratio(PEER), "figures": found}


def results(rows, factor, notes):
    uname = os.uname()
    return {"machine": {"kernel": f"{uname.sysname} {uname.release} "
                                  f"{uname.machine}",
                        "processors": os.cpu_count()},
            "factor": factor, "notes": notes,
            "rows": [result(row, factor) for row in rows]}


# ---- the table ----

def goal_text(row):
    if row["goal"] is None:
        return ""
    sign = "≥" if row["least"] else "≤"
    behind = f" x {row['against']}" if row["against"] else f" {row['unit']}"
    return f"{sign} {number(row['goal'])}{behind}"


def cells(row):
    ours = row["figures"]["kpopd"]
    measured = (f"{number(ours['median'])} {row['unit']} "
                f"({number(ours['min'])} to {number(ours['max'])})")
    beside = (f"{number(row['figures'][row['bound']]['median'])} "
              f"({row['bound']}; {number(row['ratio_to_bound'])} x)"
              if row["bound"] else "")
    peer = (f"{number(row['figures'][PEER]['median'])} "
            f"({number(row['ratio_to_dovecot'])} x)"
            if PEER in row["figures"] else "")
    return [row["title"], goal_text(row), measured, beside, peer,
            verdict(row["met"])]


def markdown(found):
    head = ["Work", "Goal", "kpopd: median (min to max)",
            "Bound (kpopd to it)", "Dovecot 2.3 (kpopd to it)", ""]
    lines = [f"The bare responder takes {found['factor']:.2f} times as long "
             "as where the goals were set; times and rates of goals are "
             "scaled by that.", ""]
    lines += ["| " + " | ".join(line) + " |" for line in
              [head, ["---"] * len(head), *map(cells, found["rows"])]]
    return "\n".join(lines)


# ---- the plot ----

WIDTH, LEFT, RIGHT, STEP, TOP = 860, 330, 30, 26, 60
COLOURS = {"kpopd": "#0b6e4f", "bound": "#8a8a8a", PEER: "#c05a00"}


def text(x, y, words, anchor="start", size=12):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" '
            f'text-anchor="{anchor}">{html.escape(words)}</text>')


def relative(row, value):
    """To the goal: below 1 is better."""
    goal = row["goal"]
    if row["against"]:
        goal *= row["figures"][row["against"]]["median"]
    return goal / value if row["least"] else value / goal


def marks(row, y, place):
    names = {"bound": row["bound"], PEER: PEER, "kpopd": "kpopd"}
    for kind, name in names.items():
        if name not in row["figures"]:
            continue
        figure = row["figures"][name]
        low, high, middle = (place(relative(row, figure[key]))
                             for key in ("min", "max", "median"))
        yield (f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}" '
               f'stroke="{COLOURS[kind]}" stroke-width="2"/>')
        yield (f'<circle cx="{middle:.1f}" cy="{y}" r="5" '
               f'fill="{COLOURS[kind]}"/>')


def axis(decades, place, bottom):
    for power in decades:
        x = place(10 ** power)
        yield (f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 10}" '
               f'y2="{bottom}" stroke="{"#000" if power == 0 else "#ddd"}"/>')
        label = "goal" if power == 0 else f"{10 ** power:g} x"
        yield text(x, bottom + 16, label, "middle")


def legend():
    x = LEFT
    for kind, words in (("kpopd", "kpopd"), ("bound", "bound (see table)"),
                        (PEER, "Dovecot 2.3, best settings")):
        yield f'<circle cx="{x}" cy="26" r="5" fill="{COLOURS[kind]}"/>'
        yield text(x + 10, 30, words)
        x += 60 + 7 * len(words)


def svg(found):
    """Each row against its goal, on a logarithmic axis."""
    rows = [row for row in found["rows"] if row["goal"] is not None]
    values = [relative(row, figure[key]) for row in rows
              for name, figure in row["figures"].items()
              if name in ("kpopd", PEER, row["bound"])
              for key in ("min", "max")] or [1]
    low = math.floor(math.log10(min(values)))
    high = max(1, math.ceil(math.log10(max(values))))
    bottom = TOP + STEP * len(rows)

    def place(value):
        return (LEFT + (math.log10(value) - low) / (high - low)
                * (WIDTH - LEFT - RIGHT))

    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
             f'height="{bottom + 30}" font-family="sans-serif">',
             f'<rect width="{WIDTH}" height="{bottom + 30}" fill="#fff"/>',
             *legend(), *axis(range(low, high + 1), place, bottom)]
    for i, row in enumerate(rows):
        y = TOP + STEP * i + STEP // 2
        lines.append(text(LEFT - 10, y + 4, row["title"], "end"))
        lines += marks(row, y, place)
    return "\n".join(lines + ["</svg>"]) + "\n"


# ---- files ----

def write(path, words):
    with open(path, "w", encoding="utf-8") as file:
        file.write(words)


def save(found, folder):
    write(os.path.join(folder, "bench.json"), json.dumps(found, indent=1))


def publish(found, folder):
    os.makedirs(folder, exist_ok=True)
    write(os.path.join(folder, "figures.json"),
          json.dumps(found, indent=1) + "\n")
    write(os.path.join(folder, "figures.md"), markdown(found) + "\n")
    write(os.path.join(folder, "figures.svg"), svg(found))
