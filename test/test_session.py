"""A session: prompts, presence, prediction, search, memory, on drawn video, with the tracker."""

from __future__ import annotations

from dataclasses import replace
from math import pi

import numpy as np
import pytest
import torch

from memtrack_ros import trackers
from memtrack_ros.errors import PromptError, TrackingError
from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.oriented import OrientedBox
from memtrack_ros.geometry.windows import Pixels
from memtrack_ros.memory import Cells
from memtrack_ros.scenes import DrawnScene, drawn_scene
from memtrack_ros.session import Presence, Prompt, Session, State
from memtrack_ros.session.course import Course, search_box
from memtrack_ros.session.presence import Belief
from memtrack_ros.session.prompts import resolve
from memtrack_ros.weights.files import Calibration

SIZE = (320, 240)
SEED = 11  # a target without look-alikes


@pytest.fixture(scope='module')
def scene() -> DrawnScene:
    return drawn_scene(SEED, *SIZE)


@pytest.fixture(scope='module')
def tracker() -> trackers.Tracker:
    return trackers.create('stmtrack', device='cpu')


@pytest.fixture
def session(tracker: trackers.Tracker) -> Session:
    fresh = Session(tracker)
    fresh.reset()
    return fresh


def test_without_a_target_nothing_is_estimated(session: Session, scene: DrawnScene) -> None:
    estimate = session.step(scene.render(0).image)
    assert estimate.state is session.state is State.IDLE
    assert np.isnan(estimate.confidence)
    assert estimate.box is estimate.roi is estimate.mask is None
    session.remember()
    assert session.tracker.bank.status().writes == 0


@pytest.mark.parametrize('kind', ['box', 'mask', 'point'])
def test_a_prompt_of_any_kind_is_followed(session: Session, scene: DrawnScene, kind: str) -> None:
    first = scene.render(0)
    value = {'box': first.box, 'mask': first.mask, 'point': boxes.centre(first.box)}[kind]
    assert session.prompt(first.image, Prompt(kind, value)).state is State.TRACKING  # type: ignore[arg-type]
    overlaps = []
    for number in range(1, 9):
        frame = scene.render(number)
        estimate = session.step(frame.image)
        session.remember()
        assert estimate.roi is not None
        overlaps.append(float(boxes.iou(estimate.roi, frame.box)))
    assert np.mean(overlaps) > 0.5
    assert estimate.mask is not None
    assert estimate.mask.shape == frame.image.shape[:2]
    assert set(np.unique(estimate.mask)) <= {0, 255}
    assert estimate.frames_tracked == 9
    assert session.tracker.bank.status().writes == 9


@pytest.mark.parametrize(
    ('prompt', 'words'),
    [
        (
            Prompt('box', np.array([400.0, 10, 50, 50])),
            'less than 3 x 3 pixels inside the 320 x 240',
        ),
        (Prompt('box', np.array([10.0, 10, 0, 50])), 'w 0, h 50 has less than'),
        (Prompt('box', np.array([10.0, 10, np.nan, 50])), 'not four finite numbers'),
        (Prompt('mask', np.ones((100, 200), np.uint8)), '200 x 100, but its image is 320 x 240'),
        (Prompt('mask', np.zeros((240, 320), np.uint8)), 'marks 0 pixels'),
        (Prompt('point', np.array([320.0, 10.0])), 'outside the 320 x 240 image'),
    ],
)
def test_a_bad_prompt_is_refused_and_the_earlier_target_kept(
    session: Session, scene: DrawnScene, prompt: Prompt, words: str
) -> None:
    first, second = scene.render(0), scene.render(1)
    session.prompt(first.image, Prompt('box', first.box))
    before = session.tracker.bank.status()
    with pytest.raises(PromptError, match=words):
        session.prompt(second.image, prompt)
    assert session.tracker.bank.status() == before
    assert session.step(second.image).state is State.TRACKING


def test_a_box_over_the_edge_is_clipped(scene: DrawnScene) -> None:
    target = resolve(scene.render(0).image, Prompt('box', np.array([-10.0, 230, 30, 30])))
    assert target.box.tolist() == [0, 230, 20, 10]


TURNED = OrientedBox(160, 120, 60, 30, 0.5)


def test_a_turned_box_is_a_rough_outline() -> None:
    frame = np.zeros((240, 320, 3), np.uint8)
    target = resolve(frame, Prompt('box', TURNED))
    assert not target.exact
    assert np.count_nonzero(target.mask) == pytest.approx(60 * 30, rel=0.02)
    assert boxes.iou(target.box, TURNED.bounds()) > 0.99
    assert OrientedBox.from_mask(target.mask).theta == pytest.approx(0.5, abs=0.05)
    # A quarter turn is an upright box, and one of any size ends at the image.
    upright = resolve(frame, Prompt('box', OrientedBox(19.5, 14.5, 10, 20, pi / 2))).mask
    assert np.array_equal(upright, boxes.box_mask([10, 10, 20, 10], 240, 320))
    assert resolve(frame, Prompt('box', OrientedBox(32, 24, 1e12, 1e12, 0.3))).mask.all()


@pytest.mark.parametrize('centre', [(-40, 10), (1e15, 10), (20, 300)])
def test_a_turned_box_outside_the_image_is_refused(centre: tuple[float, float]) -> None:
    frame = np.zeros((240, 320, 3), np.uint8)
    with pytest.raises(PromptError, match='inside the 320 x 240 image; draw it around the target'):
        resolve(frame, Prompt('box', OrientedBox(*centre, 20, 10, 0.3)))
    with pytest.raises(PromptError, match='covers less than 9 pixels'):
        resolve(frame, Prompt('box', OrientedBox(100, 100, 40, 0.1, 0.8)))


@pytest.mark.parametrize('name', trackers.NAMES)
@pytest.mark.parametrize('theta', [1e-4, -1e-4, 0.02])
def test_a_slightly_turned_box_is_segmented_as_an_upright_one(
    name: str, theta: float, scene: DrawnScene
) -> None:
    first = scene.render(0)
    session = Session(trackers.create(name, device='cpu'))
    upright = session.prompt(first.image, Prompt('box', first.box)).mask
    centre, size = boxes.centre(first.box), first.box[2:]
    turned = session.prompt(first.image, Prompt('box', OrientedBox(*centre, *size, theta))).mask
    assert np.count_nonzero(upright & turned) / np.count_nonzero(upright | turned) > 0.9


def test_what_is_no_number_is_refused_and_changes_nothing(
    session: Session, scene: DrawnScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = scene.render(0), scene.render(1)
    session.prompt(first.image, Prompt('box', first.box))
    before, locate = session.snapshot(), session.tracker.locate
    for spoilt in ({'score': np.nan}, {'box': np.array([1, 2, np.inf, 4])}):
        monkeypatch.setattr(
            session.tracker, 'locate', lambda *given, s=spoilt: replace(locate(*given), **s)
        )
        with pytest.raises(TrackingError, match='no finite numbers'):
            session.step(second.image)
        session.remember()
        after = session.snapshot()
        assert all(torch.equal(after[name], before[name]) for name in before)
    monkeypatch.setattr(session.tracker, 'locate', locate)
    assert session.step(second.image).state is State.TRACKING


def test_a_prompt_on_which_the_tracker_fails_leaves_no_half_target(
    session: Session, scene: DrawnScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, locate = scene.render(0), session.tracker.locate
    monkeypatch.setattr(
        session.tracker, 'locate', lambda *given: replace(locate(*given), score=np.nan)
    )
    with pytest.raises(TrackingError, match='no finite numbers'):
        session.prompt(first.image, Prompt('box', first.box))
    assert session.state is State.IDLE
    assert session.memory.entries == 0


def test_a_pause_freezes_the_memory_and_makes_the_search_wide(
    session: Session, scene: DrawnScene
) -> None:
    first = scene.render(0)
    session.prompt(first.image, Prompt('box', first.box))
    session.pause()
    session.step(scene.render(1).image)
    session.remember()
    assert (session.memory.frozen, session.memory.writes) == (True, 1)
    session.resume()
    assert (session.memory.frozen, session.state) == (False, State.LOST)
    session.resume()  # of what was not paused: nothing
    session.prompt(first.image, Prompt('box', first.box))
    session.resume()
    assert session.state is State.TRACKING


class Unsure(trackers.Tracker[trackers.Observation, None]):
    """Finds the same box everywhere, and is never sure of it."""

    name, variant, segments, gated = 'unsure', 'paper', False, False
    device = torch.device('cpu')

    def __init__(self) -> None:
        super().__init__(Calibration(1.0, 0.0), torch.device('cpu'))
        self.bank = Cells(2, 1, max_bytes=1000, device=self.device)
        self.priors: list[trackers.Prior] = []
        self.remembers = 0

    def view(self, frame: Pixels, box: Floats) -> None:
        pass

    def begin(self, view: None, target: trackers.Target) -> None:
        self.box = target.box

    def locate(self, frame: Pixels, prior: trackers.Prior) -> trackers.Observation:
        self.priors.append(prior)
        return trackers.Observation(1e-9, self.box, np.zeros(frame.shape[:2], np.uint8))

    def remember(self, frame: Pixels, found: trackers.Observation) -> None:
        self.remembers += 1


def test_a_published_tracker_is_not_gated() -> None:
    frame = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
    tracker = Unsure()
    session = Session(tracker, Presence(remembered=0.9))
    session.prompt(frame, Prompt('box', np.array([10.0, 10, 40, 30])))
    for number in range(1, 101):
        assert session.step(frame).state is State.TRACKING
        session.remember()
        assert (tracker.remembers, session.memory.refused) == (number, 0)
    assert all(prior.usual for prior in tracker.priors)


def test_a_point_selects_the_thing_around_it() -> None:
    image = np.full((240, 320, 3), (90, 160, 60), np.uint8)
    image[100:140, 150:200] = (30, 30, 200)
    target = resolve(image, Prompt('point', np.array([170.0, 118.0])))
    assert boxes.iou(target.box, np.array([150.0, 100, 50, 40])) > 0.9


def test_a_second_prompt_replaces_the_first(session: Session, scene: DrawnScene) -> None:
    first = scene.render(0)
    session.prompt(first.image, Prompt('box', first.box))
    session.step(scene.render(1).image)
    session.remember()
    session.prompt(first.image, Prompt('mask', first.mask))
    assert session.tracker.bank.status().writes == 1
    session.remember()  # of a step before the prompt: nothing
    assert session.tracker.bank.status().writes == 1


def test_a_change_of_resolution_keeps_the_target(session: Session, scene: DrawnScene) -> None:
    first = scene.render(0)
    session.prompt(first.image, Prompt('box', first.box))
    larger = drawn_scene(SEED, 2 * SIZE[0], 2 * SIZE[1]).render(1)
    estimate = session.step(larger.image)
    assert estimate.roi is not None
    assert boxes.iou(estimate.roi, larger.box) > 0.6


def test_only_what_is_surely_seen_is_remembered(session: Session, scene: DrawnScene) -> None:
    first, second = scene.render(0), scene.render(1)
    session.prompt(first.image, Prompt('box', first.box))
    confidence = session.step(second.image).confidence
    session.remember()
    assert confidence > session.tracker.remembered
    assert session.tracker.bank.status().writes == 2
    session.presence = Presence(remembered=1.0)
    assert session.step(second.image).state is State.TRACKING
    session.remember()
    assert session.tracker.bank.status().writes == 2
    assert session.tracker.bank.status().refused == 1
    # Nobody asks for more than the user does.
    session.presence = Presence(remembered=0.0, seen=0.0, unseen=0.0)
    assert session.step(np.full_like(first.image, 90)).confidence < session.tracker.remembered
    session.remember()
    assert session.memory.writes == 3


def test_what_is_not_seen_is_predicted_then_searched_for_and_not_remembered(
    session: Session, scene: DrawnScene
) -> None:
    session.presence = Presence(unseen_frames=2, lost_frames=4)
    first = scene.render(0)
    session.prompt(first.image, Prompt('box', first.box))
    blank = np.full_like(first.image, 127)
    states = []
    for _ in range(6):
        estimate = session.step(blank)
        session.remember()
        states.append(estimate.state)
    assert states[1:] == [State.OCCLUDED] * 2 + [State.LOST] * 3
    assert states[0] is State.TRACKING
    assert estimate.mask is None
    assert estimate.roi is not None
    assert session.tracker.bank.status().writes == 1
    assert session.tracker.bank.status().refused == 6
    # The camera shows it again where it was.
    for _ in range(6):
        estimate = session.step(first.image)
    assert estimate.state is State.TRACKING
    assert boxes.iou(estimate.roi, first.box) > 0.6


def test_presence_by_hand() -> None:
    settings = Presence(seen=0.5, unseen=0.3, unseen_frames=2, lost_frames=4, seen_frames=2)
    presence = Belief()
    track, hidden, lost = State.TRACKING, State.OCCLUDED, State.LOST
    story = [
        (0.9, track),
        (0.1, track),  # one odd frame
        (0.4, track),  # between the thresholds: still seen
        (0.1, track),
        (0.1, hidden),
        (0.4, hidden),  # between the thresholds: not yet seen again
        (0.9, hidden),
        (0.1, lost),
        (0.9, lost),
        (0.9, track),
    ]
    for confidence, state in story:
        assert presence.update(confidence, settings) is state
    presence.search_for(settings)
    assert presence.verdict is lost


def test_an_unseen_target_coasts_slows_down_and_stays_inside() -> None:
    course = Course(np.array([100.0, 100, 21, 21]), 320, 240, np.zeros(2))
    for step in range(1, 30):
        course.seen(np.array([100.0 + 4 * step, 100, 21, 21]))
    assert course.speed == pytest.approx([4, 0], abs=0.01)
    x = course.box[0]
    course.coast()
    assert course.box[0] == pytest.approx(x + 0.9 * 4, abs=0.01)
    for _ in range(200):
        course.coast()
    assert course.box[0] == pytest.approx(x + 4 * 0.9 / 0.1, abs=0.1)  # geometric series


def test_a_search_visits_the_whole_image_and_again_the_last_place() -> None:
    course = Course(np.array([0.0, 0, 20, 20]), 320, 240, np.zeros(2))
    visited = [search_box(course, turn) for turn in range(1, 97)]
    assert all(np.array_equal(box, course.box) for box in visited[::2])
    places = np.array([boxes.centre(box) for box in visited[1::2]])
    assert len(np.unique(places, axis=0)) == 8 * 6  # 320 / 40 x 240 / 40
    for corner in ([0, 0], [319, 0], [0, 239], [319, 239]):
        assert np.abs(places - corner).max(1).min() <= 21
