"""The ten digits as a person draws them: strokes of points (x, y) in a square of side 1."""

from __future__ import annotations

from math import cos, radians, sin


def arc(x, y, width, height, start, end, points=24):
    """Give points of an ellipse, from one angle to another in degrees, clockwise from the right."""
    angles = [radians(start + (end - start) * i / points) for i in range(points + 1)]
    return [(x + width * cos(angle), y + height * sin(angle)) for angle in angles]


DIGITS = {
    0: [arc(0.5, 0.5, 0.2, 0.32, -90, 270)],
    1: [[(0.4, 0.3), (0.52, 0.16), (0.52, 0.85)]],
    2: [[*arc(0.5, 0.35, 0.2, 0.18, 180, 385), (0.3, 0.82), (0.74, 0.82)]],
    3: [[*arc(0.47, 0.33, 0.19, 0.16, -150, 90), *arc(0.47, 0.67, 0.22, 0.18, -90, 150)]],
    4: [[(0.4, 0.15), (0.26, 0.58), (0.76, 0.56)], [(0.64, 0.2), (0.6, 0.88)]],
    5: [[(0.36, 0.18), (0.33, 0.46), *arc(0.47, 0.64, 0.22, 0.2, -120, 140)], [(0.36, 0.18), (0.7, 0.17)]],
    6: [[(0.62, 0.13), (0.42, 0.36), *arc(0.5, 0.66, 0.17, 0.19, -190, 190)]],
    7: [[(0.26, 0.2), (0.74, 0.2), (0.6, 0.48), (0.46, 0.86)]],
    8: [[*arc(0.5, 0.32, 0.15, 0.16, 90, -270), *arc(0.5, 0.67, 0.19, 0.19, -90, 270)]],
    9: [[*arc(0.5, 0.34, 0.17, 0.18, 0, -360), (0.66, 0.5), (0.62, 0.87)]],
}


def settled(page):
    """Wait until the answer to the newest drawing or choice stands."""
    page.wait_for_selector("#cards:not([aria-busy]) .best")


def draw(page, strokes, *, scale=1.0, left=0.0, top=0.0):
    """Draw strokes on the page's pad with the mouse."""
    box = page.locator("#pad").bounding_box()

    def place(point):
        return box["x"] + box["width"] * (left + scale * point[0]), box["y"] + box["height"] * (top + scale * point[1])

    for stroke in strokes:
        page.mouse.move(*place(stroke[0]))
        page.mouse.down()
        for point in stroke[1:]:
            page.mouse.move(*place(point), steps=2)
        page.mouse.up()
