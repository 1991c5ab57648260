"""Charts as inline SVG: no library, no script, colours from the page's own style."""

from __future__ import annotations

from collections.abc import Sequence

_WIDTH, _HEIGHT = 320, 220
_LEFT, _TOP, _RIGHT, _BOTTOM = 46, 12, 22, 40  # room for what is written beside the axes


def reliability_chart(bars: Sequence[tuple[float, float, int]]) -> str:
    """Draw how often a confidence holds; `bars` as `batchdigits.evaluation.reliability` returns them."""
    most = max((count for *_, count in bars), default=1)
    dots = [
        f'<circle cx="{_x(mean):.1f}" cy="{_y(share):.1f}" r="{2.5 + 5 * (count / most) ** 0.5:.1f}" class="mark">'
        f"<title>said {mean:.1%}, right {share:.1%}, {count:,} rows</title></circle>"
        for mean, share, count in bars
    ]
    diagonal = f'<line x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}" class="guide"/>'
    summary = "; ".join(f"said {mean:.0%}, right {share:.0%}" for mean, share, _ in bars)
    return _frame("Reliability", summary, "confidence", "right", [diagonal, *dots])


def coverage_chart(curve: Sequence[tuple[float, float, float]]) -> str:
    """Draw the risk of accepting so many rows; `curve` as `batchdigits.evaluation.risk_coverage` returns it."""
    highest = max((risk for *_, risk in curve), default=0.0) or 0.01
    points = [(coverage, risk / highest) for _, coverage, risk in curve]
    path = "M" + " L".join(f"{_x(across):.1f} {_y(up):.1f}" for across, up in points) if points else ""
    summary = "; ".join(
        f"{coverage:.0%} accepted, {risk:.2%} wrong" for _, coverage, risk in curve[:: max(1, len(curve) // 5)]
    )
    return _frame("Risk and coverage", summary, "accepted", "wrong", [f'<path d="{path}" class="line"/>'], highest)


def histogram(right: Sequence[int], wrong: Sequence[int]) -> str:
    """Draw how many rows have which confidence, in bins of equal width, those that are wrong on top."""
    most = max((a + b for a, b in zip(right, wrong, strict=True)), default=0) or 1
    bars, step = [], 1 / max(1, len(right))
    for number, (good, bad) in enumerate(zip(right, wrong, strict=True)):
        left, width = _x(number * step) + 1, (_x(1) - _x(0)) * step - 2
        for low, high, kind in ((0, good, "mark"), (good, good + bad, "bad")):
            # a root shows the few wrong ones beside the many right ones
            bottom, top = (_y((count / most) ** 0.5) for count in (low, high))
            bars.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{bottom - top:.1f}" class="{kind}"/>'
            )
    summary = "; ".join(
        f"{number * step:.0%} to {(number + 1) * step:.0%}: {good} right, {bad} wrong"
        for number, (good, bad) in enumerate(zip(right, wrong, strict=True))
        if good or bad
    )
    return _frame("Confidence", summary, "confidence", "rows (root)", bars, float(most), share=False)


def _frame(
    title: str, summary: str, across: str, up: str, inside: Sequence[str], highest: float = 1.0, *, share: bool = True
) -> str:
    top = f"{highest:.{0 if highest >= 0.1 else 1 if highest >= 0.01 else 2}%}" if share else f"{highest:,.0f}"
    marks = [
        f'<line x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(0)}" class="axis"/>',
        f'<line x1="{_x(0)}" y1="{_y(0)}" x2="{_x(0)}" y2="{_y(1)}" class="axis"/>',
        *(
            f'<text x="{_x(at):.1f}" y="{_y(0) + 15}" text-anchor="middle">{at:.0%}</text>'
            for at in (0, 0.25, 0.5, 0.75, 1)
        ),
        f'<text x="{_x(0) - 5}" y="{_y(1) + 4}" text-anchor="end">{top}</text>',
        f'<text x="{_x(0) - 5}" y="{_y(0) + 4}" text-anchor="end">0</text>',
        f'<text x="{(_x(0) + _x(1)) / 2}" y="{_HEIGHT - 6}" text-anchor="middle">{across}</text>',
        f'<text x="{_x(0) - 5}" y="{(_y(0) + _y(1)) / 2}" text-anchor="end">{up.split()[0]}</text>',
    ]
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}. {summary}">'
        + "".join([*marks, *inside])
        + "</svg>"
    )


def _x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _y(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)
