"""A session: prompts, presence, prediction, search, memory, on drawn video, with the tracker."""

from __future__ import annotations

from dataclasses import replace
from math import pi

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from memtrack_ros import trackers
from memtrack_ros.errors import ImageError, PromptError, TrackingError
from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.oriented import OrientedBox
from memtrack_ros.geometry.windows import Pixels, Window
from memtrack_ros.memory import Cells
from memtrack_ros.scenes import DrawnScene, drawn_scene
from memtrack_ros.session import Points, Presence, Prompt, Session, State
from memtrack_ros.session.course import UNLIKE, Course
from memtrack_ros.session.judge import likelier
from memtrack_ros.session.judgement import Judgement
from memtrack_ros.session.motion import MEASURED, Motion
from memtrack_ros.session.picture import shows_anything
from memtrack_ros.session.presence import Belief
from memtrack_ros.session.prompts import resolve
from memtrack_ros.trackers.identity import Rival
from memtrack_ros.weights.files import Calibration

SIZE = (320, 240)
SEED = 11  # a target without look-alikes
NOISE = np.random.default_rng(0).integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8)
BOX = np.array([100.0, 80, 40, 30])


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
    assert session.tracker.bank.status().writes == 5  # at 30 Hz every second image


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
        (Prompt('box', ['10', 'a', '50', '50']), 'does not hold numbers'),
        (Prompt('box', [[1, 2], [3]]), 'does not hold numbers'),
        (Prompt('point', 'middle'), "'middle' does not hold numbers"),
        (Prompt('mask', np.full((240, 320), np.nan)), 'holds float64 that are no numbers'),
        (Prompt('mask', np.full((240, 320), 'x')), 'that are no numbers'),
        (Prompt('point', Points([[160, 120, 1]], [])), 'are not rows of x and y'),
        (Prompt('point', Points([160, 120], [[5, 5]])), 'are not rows of x and y'),
        (Prompt('point', Points([['a', 'b']], [])), 'does not hold numbers'),
        (Prompt('circle', np.array([160.0, 120])), "kind 'circle' is unknown"),
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
        with pytest.raises(TrackingError, match='finite numbers and a size'):
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
    with pytest.raises(TrackingError, match='finite numbers and a size'):
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


class Double(trackers.Tracker[trackers.Observation, None]):
    """A test double: it finds what it is told, in place of a network."""

    name, segments = 'double', False

    def __init__(self, *, gated: bool = True) -> None:
        super().__init__(Calibration(1.0, 0.0), torch.device('cpu'))
        self.variant, self.gated = ('compact' if gated else 'paper'), gated
        self.bank = Cells(2, 1, max_bytes=1000, device=self.device)
        self.priors: list[trackers.Prior] = []
        self.remembers, self.score = 0, 0.9

    def view(self, frame: Pixels, box: Floats) -> None:
        pass

    def begin(self, view: None, target: trackers.Target) -> None:
        self.box = target.box

    def locate(self, frame: Pixels, prior: trackers.Prior) -> trackers.Observation:
        self.priors.append(prior)
        return trackers.Observation(self.score, self.box, np.zeros(frame.shape[:2], np.uint8))

    def remember(self, frame: Pixels, found: trackers.Observation) -> None:
        self.remembers += 1


def test_a_published_tracker_is_not_gated() -> None:
    tracker = Double(gated=False)
    session = Session(tracker, Presence(remembered=0.9))
    session.prompt(NOISE, Prompt('box', BOX))
    tracker.score = 1e-9
    for number in range(1, 101):
        # Seldom, and never stamped alike.
        assert session.step(NOISE, number**2 * 0.5).state is State.TRACKING
        session.remember()
        assert (tracker.remembers, session.memory.refused) == (number, 0)
    assert all(prior.usual and np.array_equal(prior.box, BOX) for prior in tracker.priors)


def test_a_published_tracker_answers_frames_that_a_benchmark_repeats() -> None:
    tracker = Double(gated=False)
    session = Session(tracker)
    random = np.random.default_rng(0)
    frames = list(random.integers(0, 255, (8, *NOISE.shape), np.uint8))
    session.prompt(frames[0], Prompt('box', BOX))
    for frame in (*frames, *[frames[-1]] * 5):
        assert session.step(frame).state is State.TRACKING
        session.remember()
    assert session.memory.refused == 0


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
    session.prompt(first.image, Prompt('box', first.box), 0.0)
    confidence = session.step(second.image, 0.1).confidence
    session.remember()
    assert confidence > session.tracker.remembered
    assert session.tracker.bank.status().writes == 2
    session.presence = Presence(remembered=1.0)
    assert session.step(second.image, 0.2).state is State.TRACKING
    session.remember()
    assert session.tracker.bank.status().writes == 2
    assert session.tracker.bank.status().refused == 1
    # Nobody asks for more than the user does.
    session.tracker.remembered = 1.0
    session.presence = Presence(remembered=0.0)
    session.step(second.image, 0.3)
    session.remember()
    assert session.memory.writes == 3


@pytest.mark.parametrize(('rate', 'written'), [(10, 12), (15, 12), (30, 6), (60, 4), (None, 6)])
def test_neighbours_in_time_are_not_both_remembered(
    rate: float | None, written: int, session: Session, scene: DrawnScene
) -> None:
    first = scene.render(0)
    session.presence = Presence(remembered=0.0)
    session.prompt(first.image, Prompt('box', first.box), None if rate is None else 0.0)
    for number in range(1, 13):
        session.step(first.image, None if rate is None else number / rate)
        session.remember()
    assert session.memory.writes == 1 + written
    assert session.memory.refused == 12 - written


@pytest.mark.parametrize('name', trackers.NAMES)
def test_from_where_on_is_remembered_is_what_the_user_says(
    name: str, scene: DrawnScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = scene.render(0), scene.render(1)
    session = Session(trackers.create(name, device='cpu'))
    session.prompt(first.image, Prompt('box', first.box), 0.0)
    written: list[float] = []
    monkeypatch.setattr(Calibration, 'confidence', lambda *_: 0.55)
    monkeypatch.setattr(session.tracker, 'remember', lambda *_: written.append(wanted))
    for number, wanted in enumerate((-1.0, 0.5, 0.6, 0.0), 1):  # its own is more than .55
        session.presence = Presence(remembered=wanted)
        assert session.step(second.image, 0.1 * number).state is State.TRACKING
        session.remember()
    assert written == [0.5, 0.0]


def test_what_is_not_seen_is_predicted_then_searched_for_and_not_remembered(
    session: Session, scene: DrawnScene
) -> None:
    session.presence = Presence(unseen_seconds=2 / 30, lost_seconds=4 / 30)
    first = scene.render(0)
    session.prompt(first.image, Prompt('box', first.box))
    blank = np.full_like(first.image, 127)
    states = []
    for _ in range(6):
        estimate = session.step(blank)
        session.remember()
        states.append(estimate.state)
    assert states == [State.OCCLUDED] * 3 + [State.LOST] * 3
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
    settings = Presence(seen=0.5, unseen=0.3, unseen_seconds=0.2, lost_seconds=0.4, seen_frames=2)
    belief = Belief()
    track, hidden, lost = State.TRACKING, State.OCCLUDED, State.LOST
    story = [
        (0.9, track, track),
        (0.1, hidden, track),  # one odd frame: not seen in it, but still believed
        (0.4, track, track),  # between the thresholds: still seen
        (0.1, hidden, track),
        (0.1, hidden, hidden),
        (0.4, hidden, hidden),  # between the thresholds: not yet seen again
        (0.9, hidden, hidden),
        (0.1, lost, lost),
        (0.9, lost, lost),
        (0.9, track, track),
    ]
    for confidence, state, verdict in story:
        belief = belief.after(confidence, 0.1, settings)
        assert (belief.now, belief.verdict) == (state, verdict)


def prompted(box: Floats = BOX, time: float | None = None) -> tuple[Session, Double]:
    tracker = Double()
    session = Session(tracker)
    session.prompt(NOISE, Prompt('box', box), time)
    return session, tracker


@pytest.mark.parametrize('rate', [2, 5, 30, 120])
def test_a_loss_is_reported_after_the_same_time_at_any_rate(rate: int) -> None:
    session, tracker = prompted(time=1e9)
    for number in range(1, rate + 1):
        assert session.step(NOISE, 1e9 + number / rate).state is State.TRACKING
    tracker.score = 0.01
    seconds = {}
    for number in range(1, 3 * rate + 1):
        session.step(NOISE, 1e9 + 1 + number / rate)
        seconds.setdefault(session.state, number / rate)
    assert seconds[State.OCCLUDED] == pytest.approx(max(0.1, 1 / rate), abs=0.01)
    assert 1.49 < seconds[State.LOST] < 1.51 + (1 / rate if 1.5 * rate % 1 else 0)


def test_only_what_is_seen_in_an_image_is_tracking_in_it() -> None:
    session, tracker = prompted()
    session.step(NOISE)
    tracker.score, tracker.box = 0.01, BOX + np.array([60, 0, 0, 0])
    estimate = session.step(NOISE)
    assert (estimate.state, session.state) == (State.OCCLUDED, State.TRACKING)
    assert estimate.mask is None
    assert estimate.roi == pytest.approx(BOX)
    assert estimate.frames_tracked == 2
    session.remember()
    assert session.memory.refused == 1
    tracker.score, tracker.box = 0.9, BOX
    assert session.step(NOISE).state is State.TRACKING


def test_what_is_not_surely_seen_moves_nothing() -> None:
    session, tracker = prompted()
    for _ in range(10):
        session.step(NOISE)
    tracker.score, tracker.box = 0.01, np.array([250.0, 10, 20, 20])
    for number in range(100):
        tracker.box = tracker.box + np.array([0, 1, 0.2, 0.2])
        if number >= 60 and number % 5 == 0:  # for one frame it seems to be there
            tracker.score = 0.9
        estimate = session.step(NOISE)
        tracker.score = 0.01
        assert boxes.iou(estimate.roi, BOX) > 0.95
    assert estimate.state is State.LOST


def test_what_is_found_again_elsewhere_stands_where_it_stands() -> None:
    session, tracker = prompted()
    session.step(NOISE)
    tracker.score = 0.01
    for _ in range(60):
        session.step(NOISE)
    elsewhere = BOX + np.array([180, 90, 0, 0])
    tracker.score, tracker.box = 0.9, elsewhere
    states = [session.step(NOISE).state for _ in range(4)]
    assert states == [State.LOST, *[State.TRACKING] * 3]
    tracker.score = 0.01
    for _ in range(40):
        estimate = session.step(NOISE)
    assert estimate.roi == pytest.approx(elsewhere, abs=1)


def test_an_unseen_target_coasts_slows_down_and_is_less_and_less_certain() -> None:
    session, tracker = prompted(np.array([40.0, 80, 40, 30]))
    for step in range(1, 16):
        tracker.box = np.array([40.0 + 4 * step, 80, 40, 30])
        seen = session.step(NOISE)
    tracker.score, spreads, centres = 0.01, [seen.spread], []
    for _ in range(60):
        estimate = session.step(NOISE)
        spreads.append(estimate.spread)
        centres.append(estimate.box.center_x)
    assert spreads == sorted(spreads)
    assert spreads[0] < 3
    assert spreads[-1] > 40
    # 120 pixels a second, slowing down: 120 / .32, where it ends, after the first .1 seconds.
    travelled = centres[-1] - seen.box.center_x
    assert 120 * 0.32 * 0.7 < travelled < 120 * (0.1 + 0.32)
    assert centres[-1] == pytest.approx(centres[-2], abs=0.5)
    width = [prior.search for prior in tracker.priors]
    assert width[10] == 1.0
    assert width[60] > width[22] >= 1.5  # two looks while it was just not seen


def test_a_step_of_the_motion_by_hand() -> None:
    # One axis of a target of 10 x 10: r = (.05 10)^2 = .25, q = (4 10)^2 = 1600, first rate 40.
    motion = Motion.of(np.array([0.0, 0, 10, 10])).after(0.1)
    p00 = 0.25 + 0.1**2 * 1600 + 1600 * 0.1**3 / 3
    p01 = 0.1 * 1600 + 1600 * 0.1**2 / 2
    p11 = 1600 + 1600 * 0.1
    assert motion.covariance[0] == pytest.approx(np.array([[p00, p01], [p01, p11]]))
    seen = motion.corrected(np.array([3.0, 0, 10, 10]))
    assert seen.rate[0] == pytest.approx([3 * p01 / (p00 + 0.25), 0])
    assert seen.spread == pytest.approx(MEASURED[0] * 10)
    # What is left of the rate's variance is the Kalman filter's.
    assert seen.covariance[0, 1, 1] == pytest.approx(p11 - p01**2 / (p00 + 0.25))
    larger = seen.scaled(np.array([2.0, 2.0]))
    assert larger.box == pytest.approx([6.0, 0, 20, 20], abs=0.51)
    assert larger.spread == pytest.approx(2 * seen.spread)


def test_a_steady_motion_is_known() -> None:
    motion = Motion.of(np.array([0.0, 0, 20, 20]))
    for step in range(1, 41):
        size = 20 * 1.01**step
        motion = motion.after(0.05).corrected(boxes.from_centre([9.5 + 3 * step, 9.5], [size] * 2))
    assert motion.rate[0] == pytest.approx([60, 0], abs=0.5)
    assert motion.rate[1] == pytest.approx([np.log(1.01) / 0.05] * 2, rel=0.1)
    for seconds in (60.0, 1e9):  # of a camera that is asleep for long
        far = motion.after(seconds)
        assert np.isfinite([*far.box, far.spread]).all()
        assert far.box[2:].max() < 10 * motion.box[2]
    ahead = motion.after(1.0)
    assert boxes.centre(ahead.box) == pytest.approx([9.5 + 120 + 60, 9.5], abs=1)
    assert ahead.spread > 10 * motion.spread
    for _ in range(100):  # it may be unseen for ever
        ahead = ahead.after(1e6, seen=False)
    assert np.isfinite(ahead.covariance).all()
    assert ahead.growth < 10


@pytest.mark.parametrize('jump', [-3600.0, -1.0, 5.0, 3600.0])
def test_time_that_jumps_makes_the_search_wide_at_once(jump: float) -> None:
    session, tracker = prompted(time=1000.0)
    for number in range(1, 31):
        session.step(NOISE, 1000 + number / 30)
    assert tracker.priors[-1].usual
    assert session.step(NOISE, 1001 + jump).state is State.LOST
    assert not tracker.priors[-1].usual
    assert session.step(NOISE, 1001 + jump + 1 / 30).state is State.TRACKING
    # Where it is not seen, all of the image is searched.
    tracker.score = 0.01
    for number in range(60):
        session.step(NOISE, 1001 + 2 * jump + number / 30)
    places = np.array([boxes.centre(prior.box) for prior in tracker.priors[-60:]])
    assert (np.ptp(places, axis=0) > 0.6 * np.array(SIZE)).all()


def test_frames_in_a_wrong_order_or_without_times_are_no_jump() -> None:
    session, _ = prompted(time=50.0)
    for time in (50.03, 50.07, 50.0, 50.1, 50.1, 50.1, None, 50.2, float('nan'), 50.25):
        assert session.step(NOISE, time).state is State.TRACKING
    session, _ = prompted()
    for time in (1e9, 1e9 + 0.5, 1e9 + 1.0, None):
        assert session.step(NOISE, time).state is State.TRACKING


def test_no_time_is_too_far_away() -> None:
    session, _ = prompted(time=1.0)
    for time in (1e9, -1e9, 1e300, -1e300, 1.7e308, -1.7e308, 2.0):
        for later in range(3):
            estimate = session.step(NOISE, time + later / 30)
            assert np.isfinite([*estimate.roi, estimate.spread]).all()
            assert boxes.iou(estimate.roi, BOX) > 0.9


def test_a_slow_camera_is_no_jump() -> None:
    session, _ = prompted(time=0.1)
    states = [session.step(NOISE, 4.0 * number).state for number in range(1, 6)]
    assert states[2:] == [State.TRACKING] * 3


@pytest.mark.parametrize('jump', [40, 80, 120])
def test_jumps_are_found_at_two_images_a_second(
    jump: int, session: Session, scene: DrawnScene
) -> None:
    first = scene.render(0)
    x, y, w, h = (int(v) for v in first.box)
    patch, mask = first.image[y : y + h, x : x + w], first.mask[y : y + h, x : x + w] > 0
    behind = cv2.GaussianBlur(NOISE, (0, 0), 9)
    found = []
    for number in range(12):
        left = 60 + jump * (number % 2)
        frame = behind.copy()
        frame[90 : 90 + h, left : left + w][mask] = patch[mask]
        if number == 0:
            session.prompt(frame, Prompt('box', np.array([left, 90.0, w, h])), 0.0)
            continue
        estimate = session.step(frame, number / 2)
        session.remember()
        found.append(boxes.iou(estimate.roi, [left, 90, w, h]) > 0.5)
    assert sum(found) >= 10


@pytest.mark.parametrize('size', [(1, 1), (4, 3), (16, 12), (2000, 240), (320, 5)])
def test_an_image_of_quite_another_size_is_refused_and_changes_nothing(
    size: tuple[int, int], session: Session, scene: DrawnScene
) -> None:
    first, second = scene.render(0), scene.render(1)
    session.prompt(first.image, Prompt('box', first.box))
    before = session.snapshot()
    with pytest.raises(ImageError, match=f'is {size[0]}x{size[1]}, those before were 320x240'):
        session.step(cv2.resize(first.image, size))
    session.remember()
    after = session.snapshot()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert session.step(second.image).state is State.TRACKING


def test_an_image_too_small_to_hold_the_target_is_refused() -> None:
    session, _ = prompted(np.array([100.0, 80, 5, 5]))
    with pytest.raises(ImageError, match='less than 3 pixels of the target'):
        session.step(cv2.resize(NOISE, (160, 120)))


@pytest.mark.parametrize(
    'frame',
    [np.zeros((240, 320), np.uint8), np.zeros((240, 320, 3)), np.zeros((0, 5, 3), np.uint8)],
)
def test_what_is_no_frame_is_refused(frame: NDArray[np.generic], session: Session) -> None:
    session.prompt(NOISE, Prompt('box', BOX))
    for ask in (session.step, lambda it: session.prompt(it, Prompt('box', BOX))):
        with pytest.raises(ImageError, match='a frame has shape'):
            ask(frame)
        with pytest.raises(ImageError, match='not NoneType; see whether its file was'):
            ask(None)  # what OpenCV makes of a file that is not there
    assert session.state is State.TRACKING


@pytest.mark.parametrize(('level', 'noise'), [(0, 1.0), (128, 1.0), (255, 1.0), (60, 10.0)])
@pytest.mark.parametrize('name', trackers.NAMES)
def test_an_image_without_contrast_shows_nothing(
    name: str, level: int, noise: float, scene: DrawnScene
) -> None:
    first = scene.render(0)
    session = Session(trackers.create(name, device='cpu'))
    session.prompt(first.image, Prompt('box', first.box))
    lens = np.random.default_rng(0).normal(level, noise, first.image.shape).clip(0, 255)
    for number in range(10):
        covered = np.full_like(first.image, level) if number % 2 else lens.astype(np.uint8)
        estimate = session.step(covered)
        session.remember()
        assert estimate.state is not State.TRACKING
        assert estimate.confidence == 0
        assert boxes.iou(estimate.roi, first.box) > 0.95
    assert session.memory.writes == 1


def test_a_small_target_before_nothing_is_shown() -> None:
    frame = np.full((480, 640, 3), 90, np.uint8)
    frame[200:205, 300:305] = 200
    session = Session(Double())
    session.prompt(frame, Prompt('box', np.array([300.0, 200, 5, 5])))
    assert session.step(frame).state is State.TRACKING


@pytest.mark.parametrize('size', [(64, 48), (320, 240), (1280, 720)])
def test_noise_is_no_contrast(size: tuple[int, int]) -> None:
    random, shape = np.random.default_rng(1), (*size[::-1], 3)

    def noisy(picture: Floats | float, noise: float) -> Pixels:
        return (picture + random.normal(0, noise, shape)).clip(0, 255).astype(np.uint8)

    for level in (0, 10, 60, 128, 255):
        for noise in (0.0, 1.0, 3.0, 5.0, 10.0, 20.0):
            covered = noisy(level, noise)
            assert not shows_anything(covered), (level, noise)
            _, compressed = cv2.imencode('.jpg', covered, [cv2.IMWRITE_JPEG_QUALITY, 60])
            assert not shows_anything(cv2.imdecode(compressed, cv2.IMREAD_COLOR)), (level, noise)
    blurred = cv2.GaussianBlur(random.normal(0, 1, shape), (0, 0), 1.5)
    assert not shows_anything(noisy(100 + 4 / blurred.std() * blurred, 0.0))
    # Little is something, in noise, too, and a texture is.
    fog = 100 + 12 * np.sin(np.arange(size[0]) / 9)[None, :, None] + np.zeros(shape)
    assert shows_anything(noisy(fog, 2.0))
    small = np.full(shape, 90.0)
    small[20:25, 30:35] = 200
    assert shows_anything(noisy(small, 10.0))
    assert shows_anything(random.integers(0, 255, shape, np.uint8))


def test_a_search_visits_the_whole_image_and_again_the_last_place() -> None:
    course = Course.of(np.array([0.0, 0, 20, 20]), NOISE)
    visited = [course.place(turn) for turn in range(1, 97)]
    assert all(box == pytest.approx(course.box) for box in visited[::2])
    # All within a second, the nearest to the last place first, and what is seen at once overlaps.
    places = np.array([boxes.centre(box) for box in visited[1:30:2]])
    assert len(np.unique(places, axis=0)) == 4 * 3
    distances = np.linalg.norm(places[:12] - boxes.centre(course.box), axis=1)
    assert (np.diff(distances) >= 0).all()
    extents = [course.survey(turn, 192).pitch * 192 for turn in range(2, 26, 2)]
    assert extents == pytest.approx([120] * 12)
    for pixel in ([0, 0], [319, 0], [0, 239], [319, 239], [120, 80], [200, 160]):
        assert np.abs(places - pixel).max(1).min() <= 60


def test_what_was_beside_the_target_is_not_taken_for_it() -> None:
    def at(x: float) -> Floats:
        return np.array([x, 100.0, 20, 20])

    course = Course.of(at(100), NOISE)
    assert not course.mistakes(at(100))
    here = Window.around((100.0, 100.0), 1.0, 192)
    course = course.beside(Rival(boxes.centre(at(130)), 0.6), here)
    assert [x for x in range(90, 160, 5) if course.mistakes(at(x))] == [120, 125, 130, 135, 140]
    # It is followed as what it is, and even where the target was nothing else is seen.
    course = course.followed(at(108), None, mistaken=True, meets=UNLIKE, jumps=False)
    assert course.mistakes(at(100))
    assert not course.mistakes(at(90))
    assert course.mismatch(course.state()) == ''
    # The same in an image twice as large.
    larger = course.fitted(np.zeros((2 * NOISE.shape[0], 2 * NOISE.shape[1], 3), np.uint8))
    assert larger.mistakes(np.array([200.5, 200.5, 40, 40]))
    assert not larger.mistakes(np.array([180.5, 200.5, 40, 40]))


def test_a_look_alike_that_the_target_leaves_behind_stays_where_it_was() -> None:
    def at(x: float) -> Floats:
        return np.array([x, 100.0, 20, 20])

    def around(x: float) -> Window:
        return Window.around((x, 110.0), 0.5, 192)  # 96 pixels of the frame

    def thing(x: float, likeness: float) -> Rival:
        return Rival(boxes.centre(at(x)), likeness)

    course = Course.of(at(100), NOISE).beside(thing(130, 0.6), around(110))
    left = course.beside(thing(250, 0.1), around(240))
    assert left.mistakes(at(130)) and not left.mistakes(at(250))
    # But for something that is more like it, or where it is seen that it is there no more.
    assert course.beside(thing(250, 0.7), around(240)).mistakes(at(250))
    assert course.beside(thing(70, 0.1), around(110)).mistakes(at(70))


def test_a_look_alike_of_which_less_is_seen_is_as_like_as_it_was() -> None:
    there = Rival(np.array([140.0, 110]), 0.6)
    window = Window.around((110.0, 110.0), 0.5, 192)
    course = Course.of(np.array([100.0, 100, 20, 20]), NOISE).beside(there, window)
    assert course.beside(Rival(np.array([144.0, 110]), 0.1), window).alike == 0.6
    assert course.beside(Rival(np.array([80.0, 110]), 0.1), window).alike == 0.1
    assert course.beside(Rival(np.array([95.0, 110]), 0.9), window) is course  # adjoins it


def test_a_look_alike_that_walks_on_leaves_its_place_free_for_the_target() -> None:
    def at(x: float) -> Floats:
        return np.array([x, 100.0, 20, 20])

    def seen(course: Course, x: float) -> Course:
        rival = Rival(boxes.centre(at(x)), 0.6)
        return course.after(0.1).followed(at(100), rival, mistaken=False, meets=UNLIKE, jumps=False)

    window = Window.around((110.0, 110.0), 1.0, 192)
    course = Course.of(at(100), NOISE).beside(Rival(boxes.centre(at(130)), 0.6), window)
    for x in (140, 150, 160):
        course = seen(course, x)
    assert course.mistakes(at(160)) and not course.mistakes(at(130))
    # Something else that is as like the target is not where that went.
    assert seen(course, 60).mistakes(at(160))


def test_of_a_look_alike_that_is_not_seen_nobody_knows_for_long_where_it_is() -> None:
    there = np.array([130.0, 100, 20, 20])
    window = Window.around((110.0, 110.0), 1.0, 192)
    course = Course.of(np.array([100.0, 100, 20, 20]), NOISE)
    course = course.beside(Rival(boxes.centre(there), 0.6), window)
    for _ in range(19):
        course = course.after(0.1)
    assert course.mistakes(there)
    assert not course.after(0.2).mistakes(there)
    # One that is followed as that is seen.
    followed = course.followed(there, None, mistaken=True, meets=UNLIKE, jumps=False)
    assert followed.after(0.2).mistakes(there)


def test_the_likelier_answer_has_ten_times_the_odds_and_is_not_the_rival() -> None:
    found = trackers.Observation(0.9, BOX, NOISE[..., 0])

    def answer(confidence: float, *, mistaken: bool = False) -> Judgement:
        return Judgement(found, confidence, mistaken=mistaken)

    assert likelier(answer(0.92), answer(0.5))  # 11.5 to 1
    assert not likelier(answer(0.9), answer(0.5))  # 9 to 1
    assert not likelier(answer(0.92, mistaken=True), answer(0.5))
    # Also where both are as good as certain, and never of two that are certain.
    assert likelier(answer(0.9999), answer(0.99))
    assert not likelier(answer(1.0), answer(1.0))
    assert not likelier(answer(0.0), answer(0.0))


def test_where_a_look_alike_was_left_says_nothing_once_the_two_have_met() -> None:
    home = np.array([100.0, 100, 20, 20])
    course = replace(Course.of(home, NOISE), rival=np.array([200.0, 110]), alike=0.8)
    assert course.left_apart
    met = course.followed(home, None, mistaken=False, meets=0.7, jumps=False)
    assert met.mismatch(met.state()) == ''
    apart = met.followed(home, None, mistaken=False, meets=UNLIKE, jumps=False)
    assert apart.has_met and not apart.left_apart
    # The liker of all that met is what has to be outdone.
    assert apart.followed(home, None, mistaken=False, meets=0.6, jumps=False).met == 0.7
    assert apart.surely().left_apart and not apart.surely().has_met


def test_what_may_have_been_the_target_stays_a_place_for_hours() -> None:
    course = Course.of(np.array([10.0, 10, 20, 20]), NOISE)
    for width in (20.0, 30.0, 45.0):  # it grew, and was never seen again
        course = course.after(0.1, seen=False).considered(
            np.array([10.0, 10, width, width]), again=width > 20
        )
    for _ in range(3600):
        course = course.after(1.0, seen=False)
    assert course.mismatch(course.state()) == ''
    assert np.isfinite(course.candidate.box).all()


def test_a_twin_that_is_not_seen_any_more_beside_the_target_may_be_in_its_box() -> None:
    home, gone = np.array([100.0, 100, 20, 20]), Rival(np.array([160.0, 160]), 0.1)
    window = Window.around((110.0, 110.0), 1.0, 192)

    def merges(likeness: float, x: float, seen: Rival, seconds: float = 0.1) -> bool:
        course = Course.of(home, NOISE)
        course = replace(course, rival=np.array([x, 110.0]), alike=likeness).after(seconds)
        return course.merges(home, seen, window)

    assert merges(0.8, 135, gone)
    assert not merges(0.8, 135, Rival(np.array([130.0, 110]), 0.6))  # there it still is
    assert merges(0.8, 135, Rival(np.array([130.0, 110]), 0.1))  # nothing much is there
    assert not merges(0.5, 135, gone)  # hardly to be taken for the target
    assert not merges(0.8, 145, gone)  # too far off for that
    assert not merges(0.8, 135, gone, 2.1)  # by now it may be anywhere
    beside = Window.around((10.0, 110.0), 1.0, 192)
    course = replace(Course.of(home, NOISE), rival=np.array([135.0, 110]), alike=0.8)
    assert not course.merges(home, gone, beside)  # nobody looked there
    at_border = Course.of(home - [100, 0, 0, 0], NOISE)
    course = replace(at_border, rival=np.array([-10.0, 110]), alike=0.8)
    assert not course.merges(at_border.box, gone, beside)  # it left the image


def test_what_was_hidden_for_a_moment_is_expected_where_it_would_be() -> None:
    def at(x: float, y: float = 100.0) -> Floats:
        return np.array([x, y, 20, 20])

    course = Course.of(at(100), NOISE)
    moving = replace(course, seen=replace(course.seen, rate=np.array([[100.0, 0], [0, 0]])))
    hidden = moving.after(0.2, seen=False)  # slows down: 15 of 20 pixels further
    assert hidden.returns(at(115), 0.2)
    assert hidden.returns(at(102), 0.2)
    assert not hidden.returns(at(115, 75.9), 0.2)
    assert not hidden.returns(at(115), 2.0)
    # A twin that was beside it may be what comes from there, one that was far off not.
    twin = replace(hidden, alike=0.8, rival=np.array([130.0, 110]))
    assert not twin.returns(at(115), 0.2)
    assert replace(twin, rival=np.array([160.0, 110])).returns(at(115), 0.2)


def test_a_jump_is_known_until_the_target_is_surely_seen() -> None:
    box = np.array([100.0, 100, 20, 20])
    course = Course.of(box, NOISE).followed(box, None, mistaken=False, meets=UNLIKE, jumps=True)
    assert course.mismatch(course.state()) == ''
    assert course.followed(box, None, mistaken=False, meets=UNLIKE, jumps=False).jumped
    assert not course.surely().jumped
