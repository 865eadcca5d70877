"""What came out of a run: results.json, results.md with its pictures, and tables to look at."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from memtrack_ros.data.sequences import Sequence
from memtrack_ros.errors import SequenceError
from memtrack_ros.evaluation import calibration, failures, markdown, mask_metrics, plots
from memtrack_ros.evaluation.metrics import METRICS, PROTOCOL, Scores, mean
from memtrack_ros.evaluation.passes import Pass
from memtrack_ros.evaluation.runner import scores

# With which the names of trackers end that remember their first frame alone.
FIRST_ALONE = '-first'
DAVIS = 'j_mean', 'j_recall', 'j_decay', 'f_mean', 'f_recall', 'f_decay'
MEAN = 'mean'  # of all sequences, beside theirs

# A head and lines of a table; the first column is text, the others numbers.
Cells = list[list[str]]


@dataclass(frozen=True)
class Outcome:
    """All that a run knows: sequences, answers by tracker and sequence, what was left out."""

    sequences: list[Sequence]
    passes: Mapping[str, Mapping[str, Pass]]
    faults: list[SequenceError]
    command: str

    @cached_property
    def scores(self) -> dict[str, dict[str, Scores]]:
        """By tracker, by sequence."""
        return {
            tracker: {
                sequence.name: scores(answers[sequence.name], sequence)
                for sequence in self.sequences
            }
            for tracker, answers in self.passes.items()
        }

    @cached_property
    def davis(self) -> dict[str, dict[str, dict[str, float]]]:
        """DAVIS' statistics of J and F by tracker, by sequence, which is an object, and their mean.

        Of the trackers whose masks were scored.
        """
        rows = {
            tracker: {
                sequence.name: row
                for sequence in self.sequences
                if (row := davis_row(answers[sequence.name], sequence))
            }
            for tracker, answers in self.passes.items()
        }
        return {
            name: objects | {MEAN: {key: fmean(o[key] for o in objects.values()) for key in DAVIS}}
            for name in self.summaries
            if (objects := rows[name])
        }

    @cached_property
    def summaries(self) -> dict[str, Scores]:
        """The means over the sequences, by tracker, the best first."""
        means = {name: mean(list(rows.values())) for name, rows in self.scores.items()}
        return dict(sorted(means.items(), key=lambda item: -(item[1]['success_auc'] or 0)))

    @cached_property
    def errors(self) -> dict[str, float | None]:
        """Standard errors of the means of success AUC over the sequences, by tracker."""
        return {
            name: standard_error([row['success_auc'] for row in rows.values()])
            for name, rows in self.scores.items()
        }

    @cached_property
    def gains(self) -> dict[str, tuple[float, float | None]]:
        """What memory adds to success AUC, and the standard error of that, by tracker.

        Of those that ran with their first frame alone, too, sequence by sequence.
        """
        found = {}
        for name in self.summaries:
            alone = self.scores.get(name + FIRST_ALONE, {})
            pairs = [
                (self.scores[name][sequence]['success_auc'], row['success_auc'])
                for sequence, row in alone.items()
            ]
            gained = [a - b for a, b in pairs if a is not None and b is not None]
            if gained:
                found[name] = float(np.mean(gained)), standard_error(gained)
        return found

    @cached_property
    def beliefs(self) -> dict[str, calibration.Beliefs]:
        """Confidences against hits, of the trackers that say how sure they are."""
        found = {
            name: calibration.beliefs([(answers[s.name], s) for s in self.sequences])
            for name, answers in self.passes.items()
        }
        return {name: found[name] for name in self.summaries if found[name].confidence.size}

    @cached_property
    def attributes(self) -> dict[str, list[Sequence]]:
        """The sequences of each attribute, where these are known."""
        names = sorted(frozenset[str]().union(*(s.attributes for s in self.sequences)))
        return {name: [s for s in self.sequences if name in s.attributes] for name in names}

    @cached_property
    def by_attribute(self) -> dict[str, dict[str, float | None]]:
        """Mean success AUC over the sequences of each attribute, by tracker, the best first."""
        return {
            tracker: {
                name: mean([self.scores[tracker][s.name] for s in chosen])['success_auc']
                for name, chosen in self.attributes.items()
            }
            for tracker in self.summaries
        }


def standard_error(values: Iterable[float | None]) -> float | None:
    """Of the mean of the values that are known; None of fewer than two."""
    known = np.array([value for value in values if value is not None])
    return float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else None


def davis_row(answers: Pass, sequence: Sequence) -> dict[str, float]:
    """The statistics of J and F of one pass; nothing where no masks were scored."""
    both = np.stack([answers.j, answers.f])[:, mask_metrics.scored(sequence.truth)]
    both = both[:, ~np.isnan(both).any(0)]
    if not both.size:
        return {}
    j, f = map(mask_metrics.statistics, both)
    return dict(zip(DAVIS, (*j, *f), strict=True))


def write(folder: Path, outcome: Outcome, console: Console) -> None:
    """Write results.json, results.md, the plots and sheets of the worst failures to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    trackers = {
        name: {
            'summary': summary,
            'standard_error': outcome.errors[name],
            'calibration_error': outcome.beliefs[name].error if name in outcome.beliefs else None,
            'sequences': outcome.scores[name],
            **({'attributes': outcome.by_attribute[name]} if outcome.attributes else {}),
            **({'davis': outcome.davis[name]} if name in outcome.davis else {}),
        }
        for name, summary in outcome.summaries.items()
    }
    content = json.dumps({'protocol': PROTOCOL, 'trackers': trackers}, indent=2)
    (folder / 'results.json').write_text(content + '\n')
    pictures = plots.draw(outcome.sequences, outcome.passes, outcome.summaries, folder)
    if outcome.beliefs:
        pictures.append(plots.draw_calibration(outcome.beliefs, folder))
    if outcome.attributes:
        pictures.append(plots.draw_attributes(outcome.attributes, outcome.by_attribute, folder))
    (folder / 'results.md').write_text(_markdown(outcome, pictures))
    sheets = failures.draw(outcome.sequences, outcome.passes, outcome.scores, folder, console)
    names = ', '.join(path.name for path in [*pictures, *sheets])
    console.print(f'written: {folder}/results.json, results.md, {names}', highlight=False)


def show(console: Console, outcome: Outcome) -> None:
    """Print the tables and the faults."""
    for head, *body in (_summary(outcome), _by_sequence(outcome)):
        # Narrow enough for 80 columns: heads wrap at spaces, names never.
        table = Table(box=SIMPLE, padding=0, show_edge=False)
        table.add_column(head[0], no_wrap=True)
        for key in head[1:]:
            table.add_column(key.replace('_', ' '), justify='right')
        for row in body:
            table.add_row(*row)
        console.print(table)
    show_faults(console, outcome.faults)


def show_faults(console: Console, faults: Iterable[SequenceError]) -> None:
    """Name the sequences that were left out, and why."""
    for fault in faults:
        console.print(f'skipped: {fault}', style='yellow', markup=False, highlight=False)


def _markdown(outcome: Outcome, pictures: list[Path]) -> str:
    blocks = [
        '# Results',
        f'```\n{outcome.command}\n```',
        markdown.table(_summary(outcome)),
        PROTOCOL,
        *(f'![{path.stem.replace("_", " ")}]({path.name})' for path in pictures),
        '## Success AUC by sequence',
        markdown.table(_by_sequence(outcome)),
    ]
    if outcome.attributes:
        blocks += ['## Success AUC by attribute', markdown.table(_by_attribute(outcome))]
    if outcome.gains:
        blocks += ['## What memory adds to success AUC', markdown.table(_gains(outcome))]
    if any(summary['jf'] is not None for summary in outcome.summaries.values()):
        blocks += ['## J&F by sequence', markdown.table(_by_sequence(outcome, 'jf'))]
    if outcome.davis:
        blocks += ['## J and F as DAVIS has them', markdown.table(_davis(outcome))]
    if outcome.faults:
        blocks += ['## Skipped', '\n'.join(f'- {fault}' for fault in outcome.faults)]
    return '\n\n'.join(blocks) + '\n'


def _summary(outcome: Outcome) -> Cells:
    """A line a tracker, without metrics that none has, and without speed: see `benchmark`."""
    rows = outcome.summaries
    shown = [
        key
        for key in METRICS
        if key != 'fps' and any(row[key] is not None for row in rows.values())
    ]
    head = ['tracker', shown[0], '± of it', *shown[1:]]
    head += ['calibration_error'] * bool(outcome.beliefs)
    lines = []
    for name, row in rows.items():
        line = [name, *(_cell(key, row[key]) for key in shown)]
        line.insert(2, _cell(shown[0], outcome.errors[name]))
        if outcome.beliefs:
            error = outcome.beliefs[name].error if name in outcome.beliefs else None
            line.append(_cell('calibration_error', error))
        lines.append(line)
    return [head, *lines]


def _by_attribute(outcome: Outcome) -> Cells:
    """A line an attribute: how many sequences have it, a column a tracker."""
    rows = outcome.by_attribute.values()
    lines = [
        [name, str(len(chosen)), *(_cell('success_auc', row[name]) for row in rows)]
        for name, chosen in outcome.attributes.items()
    ]
    return [['attribute', 'sequences', *outcome.by_attribute], *lines]


def _gains(outcome: Outcome) -> Cells:
    """A line a tracker that ran with its first frame alone, too."""
    lines = [
        [name, *(_cell('success_auc', value) for value in gain)]
        for name, gain in outcome.gains.items()
    ]
    return [['tracker', 'with memory less first frame alone', '± of it'], *lines]


def _davis(outcome: Outcome) -> Cells:
    """A line a tracker, means over the objects."""
    return [
        ['tracker', *DAVIS],
        *(
            [name, *(_cell(key, row[MEAN][key]) for key in DAVIS)]
            for name, row in outcome.davis.items()
        ),
    ]


def _by_sequence(outcome: Outcome, key: str = 'success_auc') -> Cells:
    """A line a sequence, a column a tracker."""
    names = list(outcome.summaries)
    lines = [
        [sequence.name, *(_cell(key, outcome.scores[name][sequence.name][key]) for name in names)]
        for sequence in outcome.sequences
    ]
    means = ['mean', *(_cell(key, outcome.summaries[name][key]) for name in names)]
    present = [line for line in lines if set(line[1:]) != {'-'}]
    return [['sequence', *names], *present, means]


def _cell(key: str, value: float | None) -> str:
    if value is None or np.isnan(value):
        return '-'
    return f'{value:.0f}' if key == 'frames' else f'{value:.3f}'
