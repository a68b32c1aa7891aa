"""Admission counted in images: never more than the capacity, and none at the end, whatever the requests do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levit.serving.admission import Admission
from levit.serving.errors import RequestError


@given(st.integers(1, 20), st.lists(st.tuples(st.integers(1, 25), st.integers(0, 25), st.integers(0, 30))))
def test_the_capacity_is_never_exceeded_and_everything_is_counted_back(capacity, requests):
    seen, refusals = [], []
    admission = Admission(capacity)
    tickets = []
    for images, more, closed in requests:
        try:
            ticket = admission.admit(images)
            tickets.append(ticket)
            seen.append(admission.images)
            ticket.extend(more)
        except RequestError as error:
            refusals.append((error.status, images + more <= capacity))
        for ticket in tickets[: closed % (len(tickets) + 1)]:
            ticket.close()
        seen.append(admission.images)
    assert all(0 <= images <= capacity for images in seen)
    for ticket in tickets:
        ticket.close()
        ticket.close()
    assert admission.images == 0
    assert {status for status, is_possible in refusals if is_possible} <= {429}
    assert {status for status, _ in refusals} <= {413, 429}


def test_a_refused_ticket_counts_nothing():
    admission = Admission(3)
    with pytest.raises(RequestError, match="4 images are more than the service takes at once, 3"):
        admission.admit(4)
    with admission.admit(2), pytest.raises(RequestError, match="the queue is full: 2 of 3 images"):
        admission.admit(2)
    assert admission.images == 0


def test_a_request_whose_images_are_admitted_in_two_steps_is_refused_for_their_total():
    admission = Admission(3)
    with admission.admit(1) as ticket:
        with pytest.raises(RequestError, match="4 images are more than the service takes at once, 3") as refusal:
            ticket.extend(3)
        assert (refusal.value.status, admission.images) == (413, 1)
        ticket.extend(2)
    assert admission.images == 0
