"""A gallery of cells from papers, and a sampler, registered by anybody's hooks; lazily, so nothing imports torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugins.gallery.form_pattern import OPTIONS
from plugins.hookspecs import hookimpl

if TYPE_CHECKING:
    from plugins.registry import RegisterCell, RegisterSampler

CELLS = (
    ("peephole-lstm", "peephole_lstm:PeepholeLSTM", "LSTM whose gates see the memory (Gers and Schmidhuber 2000)"),
    ("coupled-lstm", "coupled_lstm:CoupledLSTM", "LSTM with coupled input and forget gates (Greff et al. 2017)"),
    ("multiplicative-lstm", "multiplicative_lstm:MultiplicativeLSTM", "multiplicative LSTM (Krause et al. 2016)"),
    ("slstm", "slstm:SLSTM", "LSTM with exponential gating (Beck et al. 2024)"),
    ("minlstm", "minlstm:MinLSTM", "LSTM as a parallel scan (Feng et al. 2024)"),
    ("janet", "janet:JANET", "LSTM with the forget gate alone (van der Westhuizen and Lasenby 2018)"),
    ("cho-gru", "cho_gru:ChoGRU", "GRU with the reset before the product (Cho et al. 2014)"),
    ("mgu", "mgu:MGU", "minimal gated unit (Zhou et al. 2016)"),
    ("mingru", "mingru:MinGRU", "GRU as a parallel scan (Feng et al. 2024)"),
    ("ugrnn", "ugrnn:UGRNN", "update-gate RNN (Collins et al. 2017)"),
    ("sru", "sru:SRU", "simple recurrent unit (Lei et al. 2018)"),
    ("indrnn", "indrnn:IndRNN", "independently recurrent network (Li et al. 2018)"),
    ("leaky-rnn", "leaky_rnn:LeakyRNN", "RNN of leaky integrators (Jaeger et al. 2007)"),
)


@hookimpl
def register_cells(register: RegisterCell) -> None:
    """Every cell of the gallery."""
    for name, target, summary in CELLS:
        register(name, f"plugins.gallery.{target}", summary=summary)


@hookimpl
def register_samplers(register: RegisterSampler) -> None:
    """The sampler that keeps a form of verse."""
    register("plugins.gallery.form:Form", name="form", options=OPTIONS, order=50)
