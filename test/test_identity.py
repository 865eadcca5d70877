"""The judge: what an answer's mask holds, against what is surely the target and surely not."""

import weakref
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from memtrack_ros import trackers
from memtrack_ros.errors import ConfigurationError
from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Window
from memtrack_ros.nets.compact import WIDTHS
from memtrack_ros.scenes import drawn_scene
from memtrack_ros.session import Presence, Prompt, Session, State
from memtrack_ros.session.clock import Clock
from memtrack_ros.session.course import Course
from memtrack_ros.session.judge import judge
from memtrack_ros.session.picture import ALIVE, FROZEN, Stillness
from memtrack_ros.session.presence import Belief
from memtrack_ros.session.track import Track
from memtrack_ros.trackers.identity import Evidence, Identity, Rival
from memtrack_ros.trackers.observation import Observation, Sight
from memtrack_ros.weights.files import Calibration, load_weights, recalibrate, save_weights

CPU = torch.device('cpu')
SIDE, CELLS = 192, 24
FRAME = (192, 192)
WINDOW = Window.around((95.5, 95.5), 1.0, SIDE)  # its pixels are the frame's
RANDOM = torch.Generator().manual_seed(0)
TARGET, ALIKE, OTHER = F.normalize(torch.randn(3, WIDTHS[-1], generator=RANDOM))
GROUND = F.normalize(torch.randn(WIDTHS[-1], CELLS, CELLS, generator=RANDOM), dim=0)
HERE, THERE = np.array([40.0, 40, 48, 48]), np.array([120.0, 120, 48, 48])


def sight(*things: tuple[Floats, Tensor], noise: float = 0.02) -> Sight:
    """Varied ground with things in boxes, whose cells point in one direction each, or nearly."""
    generator = torch.Generator().manual_seed(1)
    features = GROUND.clone()
    for box, direction in things:
        x, y, w, h = (np.asarray(box) / 8).round().astype(int)
        features[:, y : y + h, x : x + w] = direction[:, None, None]
    return Sight(WINDOW, features + noise * torch.randn(features.shape, generator=generator))


def found(seen: Sight, box: Floats) -> Observation:
    return Observation(0.9, box, boxes.box_mask(box, *FRAME), sight=seen)


@pytest.fixture
def identity() -> Identity:
    """That knows a target HERE on plain ground."""
    known = Identity(CPU)
    seen = sight((HERE, TARGET))
    known.begin(seen, seen, HERE, boxes.box_mask(HERE, *FRAME))
    return known


@pytest.mark.parametrize(('met', 'told'), [(0.75, True), (0.97, False)])
def test_what_is_more_like_the_target_than_both_that_met_is_none_of_them(
    identity: Identity, met: float, told: bool
) -> None:
    tracker = trackers.create('dmv', device='cpu')
    tracker.identity = identity
    seen = found(sight((HERE, TARGET)), HERE)
    assert identity.judge(seen)[0].likeness == pytest.approx(1, abs=0.03)
    course = Course.of(HERE, np.zeros(FRAME, np.uint8))
    course = course.followed(HERE, None, mistaken=False, meets=met, jumps=False)
    answer = judge(Track(tracker, course, Clock(), Belief(State.UNSURE)), seen)
    assert (answer.distinct, answer.contested) == (told, not told)


def test_what_was_judged_is_not_held_beyond_its_frame(identity: Identity) -> None:
    seen = sight((HERE, TARGET))
    identity.judge(found(seen, HERE))
    held = weakref.ref(seen)
    del seen
    assert held() is None


def test_what_hides_the_target_is_not_learned_as_its_part() -> None:
    known = Identity(CPU)
    first = sight((HERE, TARGET), (THERE, OTHER))
    known.begin(first, first, HERE, boxes.box_mask(HERE, *FRAME))
    lower = np.array([40.0, 64, 48, 24])
    hidden = sight((HERE, TARGET), (lower, OTHER))
    known.learn(hidden, HERE, boxes.box_mask(HERE, *FRAME))
    target, hiding = (known.judge(found(first, box))[0] for box in (HERE, THERE))
    assert target.likeness > 0.9 and target.ratio > 0.5
    assert known.strange(hiding) and not known.resembles(hiding)


def test_the_target_is_told_from_ground_and_from_other_things(identity: Identity) -> None:
    seen = sight((THERE, TARGET), (HERE, OTHER))
    ours, _ = identity.judge(found(seen, THERE))
    assert ours.likeness > 0.8
    assert ours.ratio > 0.5
    assert ours.margin > 0.5
    other, rival = identity.judge(found(seen, HERE))
    assert other.ratio < 0.2
    assert other.margin < -0.3
    assert rival.place == pytest.approx(boxes.centre(THERE), abs=4)
    ground, _ = identity.judge(found(seen, np.array([130.0, 20, 40, 40])))
    assert ground.ratio < -0.2


def test_a_twin_that_was_seen_beside_the_target_speaks_against_it(identity: Identity) -> None:
    both = sight((HERE, TARGET), (THERE, TARGET))
    before, rival = identity.judge(found(both, HERE))
    assert before.ratio > 0.5
    assert before.margin == pytest.approx(0, abs=0.1)
    assert rival.place == pytest.approx(boxes.centre(THERE), abs=4)
    identity.learn(both, HERE, boxes.box_mask(HERE, *FRAME))
    after, _ = identity.judge(found(both, THERE))
    assert after.ratio < 0.05


def test_a_look_alike_that_is_known_stays_the_rival(identity: Identity) -> None:
    """What else is most like the target, not what is hardest to tell from it."""
    alike, harder = F.normalize(torch.stack([TARGET + 0.5 * ALIKE, TARGET - 0.9 * ALIKE]))
    both = sight((HERE, TARGET), (THERE, alike))
    identity.learn(both, HERE, boxes.box_mask(HERE, *FRAME))
    beyond = np.array([136.0, 24, 40, 40])
    seen = sight((HERE, TARGET), (THERE, alike), (beyond, harder))
    known, unknown = (identity.judge(found(seen, box))[0] for box in (THERE, beyond))
    assert known.likeness > unknown.likeness + 0.1 and known.ratio < unknown.ratio - 0.3
    answer, rival = identity.judge(found(seen, HERE))
    assert rival.place == pytest.approx(boxes.centre(THERE), abs=4)
    assert identity.resembles(rival)
    assert answer.margin == pytest.approx(answer.ratio - unknown.ratio, abs=0.15)


def test_of_what_the_border_cuts_off_the_rest_is_as_large_as_the_target(identity: Identity) -> None:
    for beyond in (np.array([160.0, 120, 48, 48]), np.array([120.0, 168, 48, 48])):
        seen = sight((HERE, TARGET), (beyond, TARGET))
        _, rival = identity.judge(found(seen, HERE))
        assert rival.place == pytest.approx(boxes.centre(beyond), abs=6)


def test_two_touch_where_boxes_around_them_overlap() -> None:
    wide = np.array([100.0, 100, 40, 20])
    for offset, touches in (((39, 0), True), ((41, 0), False), ((0, 19), True), ((0, 21), False)):
        assert Rival(boxes.centre(wide) + offset, 0.9).touches(wide) == touches


def test_a_twin_is_not_forgotten_for_what_is_unlike_the_target(identity: Identity) -> None:
    twins, alone = (sight((HERE, TARGET), (THERE, other)) for other in (TARGET, OTHER))
    identity.learn(twins, HERE, boxes.box_mask(HERE, *FRAME))
    for _ in range(10):
        identity.learn(alone, HERE, boxes.box_mask(HERE, *FRAME))
    assert identity.judge(found(twins, THERE))[0].ratio < 0.05


def test_a_twin_far_from_the_target_is_found_and_told_apart(identity: Identity) -> None:
    """In the whole first frame; of the closer looks at such things the middles are known."""
    left = sight((HERE, TARGET), (THERE, TARGET))
    places = identity.look_alikes(left, HERE)
    assert places[0] == pytest.approx(boxes.centre(THERE), abs=16)
    assert len(places) == 3
    off = np.abs(places - boxes.centre(HERE)).max(1)
    assert (off > 0.8 * 48).all()
    apart = np.abs(places[:, None] - places[None]).max(2)[np.triu_indices(3, 1)]
    assert (apart > 0.8 * 48).all()

    alone = found(sight((THERE, TARGET)), THERE)
    assert identity.judge(alone)[0].ratio > 0.5
    middle = np.array([71.5, 71.5, 48, 48])  # of the window
    identity.tell_apart([sight((middle, TARGET))], HERE)
    assert identity.judge(alone)[0].ratio < 0.1
    for _ in range(9):  # for good
        identity.learn(sight((HERE, TARGET)), HERE, boxes.box_mask(HERE, *FRAME))
    assert identity.judge(alone)[0].ratio < 0.1


def test_what_was_judged_is_learned_as_what_was_not(identity: Identity) -> None:
    both, mask = sight((HERE, TARGET), (THERE, ALIKE)), boxes.box_mask(HERE, *FRAME)
    other = deepcopy(identity)
    answer = Observation(0.9, HERE, mask, sight=both)
    said = identity.judge(answer)[0]
    before = identity.state()
    for known in (identity, other):
        known.learn(both, HERE, mask)
    learned = identity.state()
    assert all(torch.equal(learned[name], value) for name, value in other.state().items())
    # And what is judged once more is judged by what is known then.
    after = identity.judge(answer)[0]
    assert after == other.judge(answer)[0] != said
    identity.restore(before)
    assert identity.judge(answer)[0] == said


def test_a_twin_that_left_is_remembered_for_long(identity: Identity) -> None:
    mask = boxes.box_mask(HERE, *FRAME)
    identity.learn(sight((HERE, TARGET), (THERE, TARGET)), HERE, mask)
    for _ in range(3):  # what is newest is of these
        identity.learn(sight((HERE, TARGET)), HERE, mask)
    again, _ = identity.judge(found(sight((THERE, TARGET)), THERE))
    assert again.ratio < 0.1


def test_what_is_distinct_has_the_ratio_that_is_usual(identity: Identity) -> None:
    seen, mask = sight((HERE, TARGET)), boxes.box_mask(HERE, *FRAME)
    usual = identity.judge(found(seen, HERE))[0].ratio
    assert usual > 0.6
    identity.learn(seen, HERE, mask)
    for ratio, like, distinct in (
        (0.45 * usual, 0.6, True),
        (0.4 * usual, 0.6, False),  # some share of what is usual
        (0.19, 0.6, False),  # some ratio at all
        (0.45 * usual, 0.4, False),  # and like the target
    ):
        assert identity.distinguishes(Evidence(like, ratio, 1.0)) == distinct


def test_what_is_less_like_the_target_than_its_surroundings_is_strange(identity: Identity) -> None:
    assert identity.strange(Evidence(-0.01, 0.5, 1.0))
    assert identity.strange(Evidence(0.5, -0.01, 1.0))
    assert not identity.strange(Evidence(0.0, 0.0, -1.0))


def test_what_is_more_like_others_than_the_target_usually_is_is_strange(identity: Identity) -> None:
    seen, mask = sight((HERE, TARGET)), boxes.box_mask(HERE, *FRAME)
    usual = identity.judge(found(seen, HERE))[0].ratio
    assert not identity.strange(Evidence(1.0, 0.4 * usual, 1.0))  # nothing is usual yet
    identity.learn(seen, HERE, mask)
    assert identity.strange(Evidence(1.0, 0.4 * usual, 1.0))
    assert not identity.strange(Evidence(1.0, 0.45 * usual, 1.0))


def test_what_was_not_admitted_changes_nothing(identity: Identity) -> None:
    both = sight((HERE, TARGET), (THERE, ALIKE))
    identity.frozen = True
    before = identity.judge(found(both, THERE))[0]
    identity.learn(both, THERE, boxes.box_mask(THERE, *FRAME))
    assert identity.judge(found(both, THERE))[0] == before
    identity.frozen = False
    identity.learn(both, THERE, boxes.box_mask(THERE, *FRAME))
    assert identity.judge(found(both, THERE))[0].ratio > before.ratio + 0.5


def test_it_is_bounded_and_the_first_frame_stays(identity: Identity) -> None:
    first = identity.target.of_first().clone()
    for _ in range(30):
        identity.learn(sight((HERE, ALIKE)), HERE, boxes.box_mask(HERE, *FRAME))
    assert identity.target.entries == len(first) + 160
    assert identity.others.entries == identity.others.capacity
    assert torch.equal(identity.target.of_first(), first)
    identity.clear()
    assert identity.target.entries == identity.others.entries == 0


@pytest.mark.parametrize('times', [0.5, 1.0, 2.0])
def test_a_survey_says_where_and_how_large(identity: Identity, times: float) -> None:
    box = boxes.from_centre([104, 88], times * HERE[2:])
    place, growth = identity.likeliest(
        sight((box, TARGET), (np.array([0.0, 0, 32, 32]), OTHER)), HERE
    )
    assert place == pytest.approx(boxes.centre(box), abs=8)
    assert growth == pytest.approx(times, rel=0.2)


def test_its_state_comes_back_and_another_is_refused(identity: Identity) -> None:
    state = identity.state()
    copy = Identity(CPU)
    copy.restore(state)
    seen = found(sight((THERE, TARGET)), THERE)
    assert copy.judge(seen)[0] == identity.judge(seen)[0]
    for name, value in (
        ('target._first', torch.tensor(10_000)),
        ('others._cells', 2 * torch.ones_like(state['others._cells'])),
        ('_fill', torch.tensor(3.0, dtype=torch.float64)),
    ):
        with pytest.raises(ValueError, match=name.rpartition('.')[2]):
            Identity(CPU).restore(state | {name: value})


@pytest.mark.parametrize('name', trackers.NAMES)
def test_all_compact_trackers_have_one_and_it_goes_with_their_memory(name: str) -> None:
    scene = drawn_scene(11, 320, 240)
    session = Session(trackers.create(name, device='cpu'))
    identity = session.tracker.identity
    assert identity is not None
    session.presence = Presence(remembered=0.0)
    first = scene.render(0)
    session.prompt(first.image, Prompt('box', first.box))
    known = identity.target.entries
    assert known > 0
    session.step(scene.render(1).image)
    evidence = session.judgement
    assert evidence is not None
    assert len(evidence.evidence) == 5
    session.remember()
    assert identity.target.writes == 2
    assert any(key.startswith('tracker.identity.others') for key in session.snapshot())
    session.pause()
    session.step(scene.render(2).image)
    session.remember()
    assert identity.target.writes == 2
    session.reset()
    assert identity.target.entries == identity.others.entries == 0


def test_it_is_unsure_until_it_is_told_apart() -> None:
    settings = Presence(seen=0.5, unseen=0.1, unseen_seconds=0.2, seen_frames=2)
    track, unsure, hidden = State.TRACKING, State.UNSURE, State.OCCLUDED
    belief = Belief()
    story = [
        (0.9, True, unsure, track),  # one frame
        (0.9, False, track, track),
        (0.2, False, unsure, track),  # hardly believed: below half-way
        (0.9, True, unsure, unsure),
        (0.9, True, unsure, unsure),  # never by guess
        (0.2, False, unsure, unsure),
        (0.9, False, unsure, unsure),
        (0.9, True, unsure, unsure),
        (0.9, False, unsure, unsure),
        (0.9, False, track, track),  # told apart twice in a row
        (0.0, False, hidden, track),
        (0.0, False, hidden, hidden),
        (0.9, True, hidden, hidden),
        (0.9, True, unsure, unsure),  # one of two is found again
    ]
    for confidence, contested, state, verdict in story:
        belief = belief.after(confidence, 0.1, settings, contested=contested)
        assert (belief.now, belief.verdict) == (state, verdict)
        assert belief.mismatch(belief.state()) == ''


def test_a_living_camera_that_repeats_itself_is_frozen() -> None:
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 255, (24, 32, 3), np.uint8) for _ in range(ALIVE + 1)]
    still = Stillness()
    for picture in pictures:
        still = still.after(picture)
        assert not still.frozen
    frozen = []
    for _ in range(FROZEN + 2):
        still = still.after(pictures[-1].copy())
        frozen.append(still.frozen)
    assert frozen == [False] * (FROZEN - 1) + [True] * 3
    assert not still.after(pictures[0]).frozen
    # A picture that stands still from the start, or a film with each picture twice, is none.
    still = Stillness()
    for picture in [pictures[0]] * 10 + [p for p in pictures for _ in range(2)]:
        still = still.after(picture)
        assert not still.frozen


def test_a_frozen_picture_shows_nothing() -> None:
    scene = drawn_scene(11, 320, 240)
    session = Session(trackers.create('dmv', device='cpu'))
    first = scene.render(0)
    session.prompt(first.image, Prompt('box', first.box))
    for number in range(1, ALIVE + 1):
        frame = scene.render(number).image
        assert session.step(frame).state is State.TRACKING
    states = [session.step(frame).state for _ in range(8)]
    assert states[FROZEN:] == [State.OCCLUDED] * (8 - FROZEN)


def test_factors_of_evidence_are_kept_and_the_weights_with_them(tmp_path: Path) -> None:
    path = tmp_path / 'some.safetensors'
    tensors = {'a': torch.arange(4).half()}
    save_weights(path, 'dmv', 'compact', tensors, Calibration(1.0, 0.5), 'nobody')
    before = load_weights(path, 'dmv', 'compact')
    # What was written before there was any evidence goes by the score alone.
    assert before.calibration.confidence(0.7, (9.0,) * 5) == before.calibration.confidence(0.7)
    factors = (1.0, -2.0, 3.0, -0.5, 0.25)
    recalibrate(path, 'dmv', 'compact', Calibration(2.0, -1.0, factors))
    after = load_weights(path, 'dmv', 'compact')
    assert (after.digest, after.calibration.factors) == (before.digest, factors)
    # logit(.5) = 0; -1 + 1 - 2 + 3 = 1.
    assert after.calibration.confidence(0.5, (1, 1, 1, 0, 0)) == pytest.approx(0.7310586)
    with pytest.raises(ConfigurationError):
        recalibrate(path, 'samn', 'compact', Calibration(1.0, 0.0))
