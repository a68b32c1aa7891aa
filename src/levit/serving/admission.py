"""Admission of work, counted in images: a full queue refuses a request at once instead of letting it wait."""

from __future__ import annotations

from levit.serving.errors import RequestError, overloaded, too_many_images


class Admission:
    """Number of images that are waiting or being computed, and its limit; used by the event loop's thread only.

    An explanation counts as many images as it has forward passes, or the whole capacity if that is less.

    Args:
        capacity: largest number of images at once, at least 1.

    Examples:
        >>> admission = Admission(2)
        >>> ticket = admission.admit(2)
        >>> admission.admit(1)
        Traceback (most recent call last):
        levit.serving.errors.RequestError: the queue is full: 2 of 2 images
        >>> ticket.close()
        >>> admission.images
        0
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.images = 0

    def check(self) -> None:
        """Raise an error, with the status 429, if not even one image would be admitted."""
        if self.images >= self.capacity:
            raise self._full()

    def admit(self, images: int) -> Ticket:
        """Count the images of a request.

        Raises:
            RequestError: the queue is full (429), or could never take so many images (413).
        """
        ticket = Ticket(self)
        ticket.extend(images)
        return ticket

    def change(self, images: int) -> None:
        """Add a number of images, or with a negative one remove them.

        Raises:
            RequestError: the queue is full (429).
        """
        if images > 0 and self.images + images > self.capacity:
            raise self._full()
        self.images += images

    def _full(self) -> RequestError:
        return overloaded(f"the queue is full: {self.images} of {self.capacity} images")


class Ticket:
    """Images of one request, which are counted until they are finished or left out; a context manager.

    Args:
        admission: the counter.
    """

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._images = 0

    def extend(self, images: int) -> None:
        """Count more images of the same request.

        Raises:
            RequestError: the queue is full (429), or could never take so many images (413).
        """
        total = self._images + images
        if total > self._admission.capacity:
            raise too_many_images(total, self._admission.capacity)
        self._admission.change(images)
        self._images = total

    def close(self) -> None:
        """Count none of the images any more; a second call does nothing."""
        self._admission.change(-self._images)
        self._images = 0

    def __enter__(self) -> Ticket:
        """Return the ticket."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the ticket."""
        self.close()
