"""The training loop of one model: steps, log, validation, samples, saving."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping

import torch
from torch import Tensor

from cells.errors import CelloquyError
from cells.loss import mean_loss
from cells.model import LanguageModel
from cells.regularise import Regularisation, lock_dropout
from cells.state import State, detach, state_tensors, to
from checkpoints.average import WeightAverage
from checkpoints.divergence import MOST_LOWERED, SUSPECT_STEPS, Diverged, check_loss, check_weights
from checkpoints.interrupt import WATCHED, Interrupted, SignalWatch
from checkpoints.loading import stored_tensors
from checkpoints.optimise import clip_gradient, make_optimizer, optimizer_tensors, restore_optimizer, set_rate
from checkpoints.options import TrainOptions
from checkpoints.rank_state import RunClock, gathered_random, gathered_rows, restore_random, restored_rows
from checkpoints.resume import Resume, RunState, last_good, save_resume
from checkpoints.run_parts import Parts
from checkpoints.samples import sample_text
from checkpoints.schedule import Budget, Schedule
from checkpoints.start import some_anew
from checkpoints.validation import NOT_VALIDATED, Validation

RANKS_GRACE = 3.0
"""Seconds in which a second signal is taken for an echo of the first, where torchrun passes them on."""

LOG_EVERY = 10
"""Steps that one line of the log averages."""

SAVE_SECONDS = 20.0
"""Seconds between two saves of the resume state; more if saving is slow."""

SAVE_SHARE = 0.05
"""The part of the time that may go into saving, where saving is slow."""

EVAL_SHARE = 0.05
"""Part of the time that validation may take."""

EVAL_SPEED = 1.5
"""Tokens scored in the time of one trained on: how often to validate where that must not depend on the clock."""

FEWEST_STEPS = 50
"""Steps between two validations at least, unless asked for."""


class Trainer:
    """Trains one model. :meth:`run` goes on until the budget is spent; the best validated weights are in the file.

    On the CPU, with a budget of steps or epochs, a run that was stopped and resumed ends with the same bits as one
    that was not: nothing in it depends on the clock but when it is saved.
    """

    def __init__(self, model: LanguageModel, options: TrainOptions, budget: Budget, parts: Parts) -> None:
        self.model = model
        self.options = options
        self.budget = budget
        self.parts = parts
        self.schedule = Schedule(options.schedule, options.lr, options.warmup)
        self.optimizer = make_optimizer(model, options)
        self.parameters = list(model.parameters())
        self.regularisation = Regularisation(
            options.weight_dropout, options.embedding_dropout, options.activation_penalty, options.temporal_penalty
        )
        if options.dropout_kind == "locked":
            lock_dropout(model)
        self.average = WeightAverage(model, options.ema) if options.ema else None
        self.device = model.readout.bias.device
        self.ranks = parts.ranks
        self.state: State = model.initial_state(len(parts.batches.rows))
        self.done = RunState()
        self._loss_sum = torch.zeros((), dtype=torch.float64 if self.device.type != "mps" else torch.float32)
        self._loss_sum = self._loss_sum.to(self.device)
        self._norm = torch.zeros(())
        self.clock = RunClock(parts.ranks)
        self._window_seconds = 0.0
        self._saved = time.monotonic()
        self._save_took = 0.0

    # ------------------------------------------------------------------ the run

    def run(self) -> None:
        """Train until the budget is spent. Interrupted after a signal, Diverged if the loss cannot be kept finite.

        Whatever ends it, the checkpoint holds the best validated weights, and the resume state a moment from which to
        go on.
        """
        self.clock.start(self.done.seconds)
        if self.done.step == 0:
            self.save()
        with SignalWatch(RANKS_GRACE if self.ranks.count > 1 else 0.0) as watch:
            while not self.done.finished:
                try:
                    self._go_on(watch)
                    self._finish()
                except Diverged as problem:
                    self._go_back(problem)
            received, _ = self._agreed(watch)
            if received is not None:
                raise Interrupted(f"stopped at step {self.done.step}, its last, and saved", received)

    def _go_on(self, watch: SignalWatch) -> None:
        """Steps, and what is due between them, until the budget is spent."""
        while not self.over():
            self._step()
            done = self.done
            if done.step % LOG_EVERY == 0:
                self._log_training()
            if self._validation_due():
                self._validate()
            if self.options.sample_every and done.step % self.options.sample_every == 0:
                self._sample()
            received, save_now = self._agreed(watch)
            if received is not None:
                self.save()
                self._write_if_there_is_none()
                raise Interrupted(f"stopped at step {done.step} and saved", received)
            if save_now:
                self.save()

    def _agreed(self, watch: SignalWatch) -> tuple[int | None, bool]:
        """The signal that any process has received, and whether it is time to save: the same for all."""
        save_now = time.monotonic() - self._saved > max(SAVE_SECONDS, self._save_took / SAVE_SHARE)
        if self.ranks.count == 1:
            return watch.received, save_now
        own = [float(watch.received == number) for number in WATCHED]
        *signals, saves = self.clock.agree([*own, float(save_now and self.ranks.first)])
        return next((number for number, count in zip(WATCHED, signals, strict=True) if count), None), saves > 0

    def over(self) -> bool:
        """Whether the budget is spent, or validation has not improved for too long. One step there is at least."""
        stale = 0 < self.options.patience <= self.done.stale
        return stale or (self.done.step > 0 and self.fraction() >= 1.0)

    def seconds(self) -> float:
        """Seconds of this run so far, those before a resume included."""
        return self.clock.seconds()

    def fraction(self) -> float:
        """How much of the training is over. A budget of time keeps back what the last validation will take."""
        if self.budget.seconds is None:
            return self.budget.fraction(self.done.step, 0.0)
        kept_back = min(self._eval_seconds(), self.budget.seconds / 2)
        return Budget(seconds=self.budget.seconds - kept_back).fraction(self.done.step, self.seconds())

    def _step(self) -> None:
        """One step of truncated backpropagation through time (Williams and Peng 1990)."""
        began = time.perf_counter()
        done = self.done
        inputs, targets = (part.to(self.device, non_blocking=True) for part in self.parts.batches.next())
        set_rate(self.optimizer, self.schedule.rate(done.step, self.fraction(), done.rate_scale))
        loss, penalty, state = self._losses(inputs, targets)
        (loss if penalty is None else loss + penalty).backward()  # type: ignore[no-untyped-call]
        self.state = detach(state)
        loss = loss.detach()
        self.ranks.average([*(p.grad for p in self.parameters if p.grad is not None), loss])
        self._norm = clip_gradient(self.parameters, self.options.clip, self.options.clip_kind)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(done.step)
        self._loss_sum += loss
        done.loss_count += 1
        done.step += 1
        done.read = self.parts.batches.read
        self._window_seconds += time.perf_counter() - began

    def _losses(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None, State]:
        """The mean loss in nats a token, what regularisation adds to it, and the final state."""
        anew = 1.0 if self.options.sampling == "random" else self.options.reset
        start = some_anew(self.state, self.model.initial_state(inputs.shape[1]), anew)
        outputs: list[Tensor] = []
        with self.regularisation.masked(self.model):
            hidden, state = self.model.hidden(inputs, start, outputs)
        loss = mean_loss(self.model, hidden, targets)
        return loss, self.regularisation.penalty(hidden, outputs[-1]), state

    # ------------------------------------------------------------------ log, validation, samples

    @property
    def _choices(self) -> int:
        """Among how many things the model chooses: what a loss is compared with."""
        return self.model.config.vocabulary_size

    def _checked_loss(self) -> float:
        """The sum of the losses since the last line of the log. Diverged if it cannot be used."""
        total, done = float(self._loss_sum), self.done
        mean = total / max(1, done.loss_count)
        check_loss(mean, float(self._norm), done.lowest_loss, self._choices, done.step)
        return total

    def _log_training(self) -> None:
        done = self.done
        if done.loss_count == 0:
            return
        done.train_loss = self._checked_loss() / done.loss_count
        done.lowest_loss = min(done.train_loss, done.train_loss if done.lowest_loss is None else done.lowest_loss)
        tokens = done.loss_count * self.parts.batches.tokens_a_step
        record = self.parts.log.write(
            "train",
            step=done.step,
            tokens=done.step * self.parts.batches.tokens_a_step,
            seconds=round(self.seconds(), 3),
            loss=done.train_loss,
            lr=self.optimizer.param_groups[0]["lr"],
            grad_norm=float(self._norm),
            tokens_per_second=round(tokens / max(self._window_seconds, 1e-9), 1),
        )
        if self.budget.seconds is not None:  # a budget of steps ends with the same bits whatever the machine does
            self.parts.machine.threads.observe(record["tokens_per_second"])
        self._loss_sum.zero_()
        done.loss_count = 0
        self._window_seconds = 0.0
        fraction = self.fraction()
        left = self.seconds() * (1 - fraction) / fraction if fraction > 0.02 else None
        if self.budget.seconds is not None:
            left = max(0.0, self.budget.seconds - self.seconds())
        self.parts.reporter.train(record, fraction, left)

    @property
    def _texts(self) -> list[Validation]:
        """What an evaluation scores; the first of them decides which weights are the best."""
        return [text for text in (self.parts.validation, self.parts.training_text) if text is not None]

    def _tokens_evaluated(self) -> int:
        return sum(len(text.tokens) for text in self._texts)

    def _judged(self) -> contextlib.AbstractContextManager[None]:
        """While entered, the model has the weights that are evaluated and saved: its own, or their average."""
        return contextlib.nullcontext() if self.average is None else self.average.applied()

    def _eval_seconds(self) -> float:
        """How long an evaluation takes: as measured, or before the first as expected from the steps' speed."""
        if not self._texts:
            return 0.0
        if self.done.eval_seconds or self.done.step == 0:
            return self.done.eval_seconds
        speed = self.done.step * self.parts.batches.tokens_a_step / max(self.seconds(), 1e-9)
        return self._tokens_evaluated() / (EVAL_SPEED * speed)

    def _validation_due(self) -> bool:
        done = self.done
        if not self._texts:
            return False
        if self.options.eval_every:
            return done.step % self.options.eval_every == 0
        if self.budget.seconds is None:
            dear = self._tokens_evaluated() / (EVAL_SPEED * EVAL_SHARE * self.parts.batches.tokens_a_step)
            return done.step % max(FEWEST_STEPS, math.ceil(dear)) == 0
        if done.step - done.last_eval < FEWEST_STEPS:
            return False
        apart, now = self._eval_seconds() / EVAL_SHARE, self.seconds()
        return now - done.last_eval_at > apart and self.budget.seconds - now > apart / 2  # the last one comes anyway

    def _validate(self) -> None:
        """Score the texts to be scored, log it, and write the checkpoint if it is the best so far."""
        done = self.done
        self._checked_loss()
        began = self.clock.agree_seconds()
        figures = self.ranks.from_first(self._figures)
        loss = figures[self._texts[0].part + "_loss"]
        if not math.isfinite(loss):
            raise Diverged(f"the validation loss is not a finite number at step {done.step}")
        done.eval_seconds = self.clock.agree_seconds() - began
        done.last_eval, done.last_eval_at = done.step, self.seconds()
        record = self.parts.log.write("eval", step=done.step, seconds=round(self.seconds(), 3), **figures)
        better = done.best_loss is None or loss < done.best_loss
        if better:
            done.best_loss, done.best_step, done.stale = loss, done.step, 0
            self._write(figures)
        else:
            done.stale += 1
            if self.options.schedule == "plateau":
                done.rate_scale *= 0.5
        self.parts.reporter.eval(record, better)

    def _figures(self) -> dict[str, float]:
        """The figures of every text that evaluations score."""
        with self._judged():
            scored = [text.figures(self.model, self.parts.writer.store) for text in self._texts]
        return {name: value for figures in scored for name, value in figures.items()}

    def _write_if_there_is_none(self) -> None:
        """A run that is stopped before its first validation leaves something to talk to all the same.

        Nothing of the run itself changes, so that it goes on as if it had not been stopped.
        """
        if self.done.best_step or self.ranks.from_first(self.parts.writer.path.exists):
            return
        self._write(self.ranks.from_first(self._figures))

    def _write(self, figures: Mapping[str, float | None]) -> None:
        """Write the checkpoint with the present weights."""
        done = self.done
        last = self._checked_loss() / done.loss_count if done.loss_count else done.train_loss
        known = {
            "step": done.step,
            "tokens_seen": done.step * self.parts.batches.tokens_a_step,
            "seconds": round(self.seconds(), 3),
            "train_loss": last,
        }
        with self._judged():
            self.ranks.from_first(lambda: self.parts.writer.save(self.model, {**known, **NOT_VALIDATED, **figures}))

    def _sample(self) -> None:
        """Let the model write from each prompt, or from nothing if there is none."""
        self._checked_loss()
        self.ranks.from_first(self._write_samples)

    def _write_samples(self) -> None:
        for number, prompt in enumerate(self.options.prompt or ("",)):
            seed = (self.options.seed + self.done.step * 1000 + number) % 2**63
            with self._judged():
                text = sample_text(self.model, self.parts.tokenizer, prompt, seed)
            self.parts.reporter.sample(self.parts.log.write("sample", step=self.done.step, prompt=prompt, text=text))

    # ------------------------------------------------------------------ the end, and saving

    def _finish(self) -> None:
        """The last validation, the resume state from which the run can be prolonged, and the log's last line."""
        done = self.done
        self._log_training()
        if not self._texts:
            self._write({})
            done.best_step = done.step
        elif done.last_eval != done.step:
            self._validate()
        place = self.parts.log.position()  # a run that is prolonged later forgets that it was done
        reason = "patience" if 0 < self.options.patience <= done.stale else "budget"
        self.parts.log.write(
            "done",
            step=done.step,
            tokens=done.step * self.parts.batches.tokens_a_step,
            seconds=round(self.seconds(), 3),
            best_step=done.best_step,
            best_val_loss=None if self.parts.validation is None else done.best_loss,
            reason=reason,
        )
        done.finished = True
        self.save(place)

    def save(self, log_bytes: int | None = None, keep_before: bool = True) -> None:
        """Save the moment: everything that the rest of the run depends on. Diverged if it is no good.

        Who goes on from it forgets what the log has after ``log_bytes``, which are all there are unless given.
        """
        done = self.done
        done.loss_sum = self._checked_loss()
        began = time.monotonic()
        done.seconds = self.clock.agree_seconds()
        end = self.parts.log.position()
        done.log_bytes = end if log_bytes is None else log_bytes
        resume = self._resume()
        check_weights(resume.tensors, done.step)
        self.ranks.from_first(lambda: save_resume(self.parts.resume_file, resume, keep_before))
        self._saved = time.monotonic()
        self._save_took = max(0.0, self._saved - began)

    def _resume(self) -> Resume:
        groups: dict[str, dict[str, Tensor]] = {
            "model": stored_tensors(self.model),
            "optimizer": optimizer_tensors(self.optimizer, self.model),
            "state": gathered_rows(self.ranks, state_tensors(self.state)),
            "random": gathered_random(self.ranks, self.device),
        }
        if self.average is not None:
            groups["ema"] = self.average.values
        return Resume(
            run=self.done,
            options=vars(self.options),
            machine=self.parts.machine.to_json(),
            fingerprint=self.parts.fingerprint,
            tokenizer=self.parts.tokenizer.to_json(),
            model=self.model.config.to_json(),
            tensors={f"{group}.{name}": value for group, some in groups.items() for name, value in some.items()},
        )

    def _go_back(self, problem: Diverged) -> None:
        """To the last good state, with half the learning rate; raises Diverged if that is not wanted or never helps.

        What the run has spent of its time, and the best checkpoint that it has written, stay.
        """
        gone = self.done
        if self.options.on_divergence == "stop" or gone.lowered >= MOST_LOWERED:
            often = f", although the learning rate was halved {gone.lowered} times" if gone.lowered else ""
            kept = "the last good checkpoint is kept" if gone.best_step else "nothing was overwritten"
            advice = "Try a lower --lr, a --warmup, or --precision fp32"
            raise Diverged(f"cell {self.model.cell.label}: {problem}{often}; {kept}. {advice}") from problem
        spent = self.seconds()
        self.restore(last_good(self.parts.resume_file, gone.step - SUSPECT_STEPS))
        done = self.done
        done.lowered = gone.lowered + 1
        done.rate_scale = 0.5 * min(gone.rate_scale, done.rate_scale)
        done.best_loss, done.best_step = gone.best_loss, gone.best_step
        done.seconds = spent
        self.clock.start(spent)
        self.parts.log.go_back(done.log_bytes)
        self.parts.log.write(
            "diverged", step=gone.step, back_to=done.step, lr_scale=done.rate_scale, reason=str(problem)
        )
        self.parts.reporter.note(f"{problem}; going back to step {done.step} with half the learning rate")
        self.save(keep_before=False)

    def forget_best(self) -> None:
        """Begin to look for the best validation anew: what is validated on has changed."""
        self.done.best_loss, self.done.best_step, self.done.stale = None, 0, 0

    @torch.no_grad()
    def restore(self, resume: Resume) -> None:
        """Go back to a saved moment."""
        saved = resume.group("model")
        for name, parameter in self.model.named_parameters():
            if name not in saved or saved[name].shape != parameter.shape:
                raise CelloquyError(f"the resume state does not fit the model: {name}")
            parameter.copy_(saved[name])
        restore_optimizer(self.optimizer, self.model, resume.group("optimizer"))
        if self.average is not None:
            self.average.restore(resume.group("ema"))
        fresh = self.model.initial_state(len(self.parts.batches.rows))
        self.state = to(restored_rows(fresh, resume.group("state"), self.parts.batches.rows), self.device)
        self.done = resume.run
        self.done.finished = False
        self.clock.start(self.done.seconds)
        self.parts.batches.read = self.done.read
        self._loss_sum.fill_(self.done.loss_sum)
        self._norm = torch.zeros(())
        self._window_seconds = 0.0
        restore_random(self.ranks, self.device, resume.group("random"))
