"""The table and the plot."""

import os
import platform
from pathlib import Path
from statistics import median


def table(title, samples, limit, files=False):
    """`samples` is {peer: [Sample]}, `limit` those of the limit in the same rounds. Ratios are of pairs, then their median. With how
    many files came to the backups, where that is of interest."""
    columns = ["who", "wall s (min/median/max)", "× limit", "CPU s", "× limit's CPU", "stored MB", "peak MiB"]
    if files:
        columns.append("files")
    lines = [f"### {title}", "", _row(columns), _row(["---"] * len(columns)).replace(" ", "")]
    for name, taken in samples.items():
        if not taken:
            continue
        walls = [sample.wall for sample in taken]
        cpus = [sample.cpu for sample in taken]
        pairs = list(zip(taken, limit, strict=False))
        ratio = median(sample.wall / base.wall for sample, base in pairs)
        cpu_ratio = median(sample.cpu / base.cpu if base.cpu else 0 for sample, base in pairs)
        stored = [sample.stored for sample in taken if sample.stored is not None]
        memory = [sample.memory for sample in taken if sample.memory]
        cells = [
            name,
            f"{min(walls):.2f}/{median(walls):.2f}/{max(walls):.2f}",
            f"{ratio:.2f}",
            f"{median(cpus):.2f}",
            f"{cpu_ratio:.2f}",
            f"{median(stored) / 1e6:.1f}" if stored else "",
            f"{max(memory) / 2**20:.0f}" if memory else "",
        ]
        if files:
            came = [sample.files for sample in taken if sample.files is not None]
            cells.append(f"{median(came):.0f}" if came else "")
        lines.append(_row(cells))
    return "\n".join(lines) + "\n"


def _row(cells):
    return f"| {' | '.join(cells)} |"


def machine():
    """What it ran on, without names of the machine."""
    model = "?"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, Linux {platform.release().split('-')[0]}"


def plot(path, title, series, labels):
    """Grouped bars as SVG: `series` is {name: [value or None, …]}, one value for each label."""
    width, bar, gap, height, left, top = 960, 18, 26, 320, 60, 50
    colors = ["#4c566a", "#0b6e4f", "#b08d57", "#8c564b", "#5e81ac", "#a3596b", "#7f7f7f"]
    highest = max((value for values in series.values() for value in values if value is not None), default=1) or 1
    parts = [f'<text x="{left}" y="20" font-size="15" font-weight="bold">{title}</text>']
    for step in range(5):
        value = highest * step / 4
        y = top + height - height * step / 4
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{width - 10}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.1f}</text>')
    x = left + gap / 2
    for index, label in enumerate(labels):
        begun = x
        for color, values in zip(colors, series.values(), strict=False):
            value = values[index]
            if value is not None:
                tall = height * value / highest
                parts.append(f'<rect x="{x:.1f}" y="{top + height - tall:.1f}" width="{bar - 2}" height="{tall:.1f}" fill="{color}"/>')
            x += bar
        parts.append(f'<text x="{(begun + x) / 2:.1f}" y="{top + height + 18}" text-anchor="middle">{label}</text>')
        x += gap
    for index, (color, name) in enumerate(zip(colors, series, strict=False)):
        y = top + height + 44 + 18 * (index // 3)
        at = left + 300 * (index % 3)
        name = name.replace("&", "&amp;").replace("<", "&lt;")
        parts.append(f'<rect x="{at}" y="{y - 10}" width="12" height="12" fill="{color}"/><text x="{at + 18}" y="{y}">{name}</text>')
    total = top + height + 60 + 18 * ((len(series) + 2) // 3)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{total}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
    )
