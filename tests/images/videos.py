"""Video files of four colors."""

import numpy as np

COLORS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]


def write_video(file, frames: int = 12, codec: str = "MJPG") -> None:
    """Video of 8 frames per second; each of four colors is shown for a quarter of it."""
    import cv2

    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*codec), 8, (64, 48))
    for number in range(frames):
        color = COLORS[number * len(COLORS) // frames]
        writer.write(np.full((48, 64, 3), color[::-1], np.uint8))
    writer.release()
