"""Bars as SVG, without any library."""

COLOURS = {"synod": "#2563eb", "kafka": "#6b7280", "nats": "#16a34a"}
WIDTH, LEFT, BAR, GAP = 760, 210, 18, 6


def escape(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def bars(title, unit, rows):
    """SVG of one group of bars; `rows` are (name, value)."""
    rows = [(name, value) for name, value in rows if value is not None]
    most = max((value for _, value in rows), default=1) or 1
    height = 40 + len(rows) * (BAR + GAP) + 10
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="10" y="24" font-size="15" font-weight="bold">{escape(title)}</text>',
    ]
    for index, (name, value) in enumerate(rows):
        y = 40 + index * (BAR + GAP)
        width = max(1, value / most * (WIDTH - LEFT - 110))
        colour = COLOURS.get(name.split("-")[0], "#6b7280")
        out.append(f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>')
        out.append(f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>')
        text = f"{value:,.0f} {unit}"
        out.append(f'<text x="{LEFT + width + 6:.1f}" y="{y + 14}">{escape(text)}</text>')
    out.append("</svg>\n")
    return "\n".join(out)
