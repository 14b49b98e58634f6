"""Azure LLM inference: a stream of requests with their numbers of tokens (2023).

Source: `AzureLLMInferenceTrace_*.csv` of Azure/AzurePublicDataset; Patel et al., "Splitwise:
efficient generative LLM inference using phase splitting", ISCA 2024. Columns: TIMESTAMP,
ContextTokens, GeneratedTokens. The trace has no durations, so a model makes them:

    run time         overhead_s + ContextTokens / prefill_tokens_per_s
                     + GeneratedTokens / decode_tokens_per_s
    requested time   the same with `expected_generated_tokens` for GeneratedTokens, which nobody
                     knows beforehand
    demand           `share_of_card` of one GPU: 1 / share requests run on a card side by side
    submit time      TIMESTAMP, in s since the first
    id               line of the file

The defaults are assumptions, not measurements: the order of a mid-sized model on one data-centre
GPU. Set them to what you measured on yours; every figure of a result depends on them. With the
defaults the conversation trace (5.5 requests/s, 211 tokens generated on average) offers the default
pool of 2 nodes of 4 cards a load of 0.61.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from lepton_rl.core.resources import CARD
from lepton_rl.workloads.csv_table import moment, read_csv, whole
from lepton_rl.workloads.gpu_pools import GpuPoolSettings, gpu_pool
from lepton_rl.workloads.task_columns import Floats, TaskColumns, build_workload
from lepton_rl.workloads.text_file import stem_of
from lepton_rl.workloads.workload import Workload

__all__ = ["COLUMNS", "AzureLlmSettings", "read_azure_llm"]

COLUMNS = (moment("TIMESTAMP"), whole("ContextTokens"), whole("GeneratedTokens"))

_SHORTEST_S = 1e-3


class AzureLlmSettings(GpuPoolSettings):
    """Settings of an Azure LLM trace, with the model of service times.

    Attributes:
        overhead_s: of a request, whatever its size.
        prefill_tokens_per_s: context tokens read, while other requests run beside it.
        decode_tokens_per_s: tokens generated, for one request while others run beside it.
        expected_generated_tokens: what requested times assume.
        share_of_card: share of a GPU that a request holds.
    """

    nodes: int = Field(default=2, ge=1, le=1_000_000)
    cards_per_node: int = Field(default=4, ge=1, le=63)
    overhead_s: float = Field(default=0.05, ge=0, le=1e6)
    prefill_tokens_per_s: float = Field(default=4000.0, gt=0, le=1e9)
    decode_tokens_per_s: float = Field(default=25.0, gt=0, le=1e9)
    expected_generated_tokens: float = Field(default=200.0, ge=0, le=1e9)
    share_of_card: float = Field(default=0.1, ge=1 / CARD, le=1)

    def service_s(self, context: Floats, generated: Floats | float) -> Floats:
        """Service time of requests of so many tokens, in s."""
        decode_s = generated / self.decode_tokens_per_s
        return np.asarray(self.overhead_s + context / self.prefill_tokens_per_s + decode_s)


def read_azure_llm(path: Path, settings: AzureLlmSettings) -> Workload:
    """Read a trace; raises `InputFileError` or `WorkloadError` as `read_csv` does."""
    table = read_csv(path, COLUMNS)
    context = table["ContextTokens"].astype(np.float64)
    columns = TaskColumns(
        ids=np.arange(2, len(table) + 2).astype(np.str_),
        submit_s=table["TIMESTAMP"] - table["TIMESTAMP"].min(),
        run_s=settings.service_s(context, table["GeneratedTokens"].astype(np.float64)),
        requested_s=settings.service_s(context, settings.expected_generated_tokens),
        demand={"gpu": np.full(len(table), round(settings.share_of_card * CARD), np.int64)},
    )
    skipped = {"run time unknown: from the model of service times": len(table)}
    pool = gpu_pool(settings)
    return build_workload(stem_of(path), pool, columns, skipped, shortest_run_s=_SHORTEST_S)
