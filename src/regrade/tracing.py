"""Traces by OpenTelemetry, for operators who ask for them. Nobody else imports opentelemetry.

Where spans go and how many are kept is said in OpenTelemetry's own variables (OTEL_*), which its SDK reads.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from regrade import __version__
from regrade.core.entities import Run
from regrade.core.ids import PREFIXES
from regrade.ports.tracing import Span

_FLUSH_MILLISECONDS = 2_000
_NANOSECONDS = 1_000_000_000
_LOW_64_BITS = (1 << 64) - 1

_RUN: ContextVar[SpanContext | None] = ContextVar("run_span", default=None)
"""The span of a run, while it is told of."""


class _Ids(RandomIdGenerator):
    """Random ids, but for spans of runs: every process knows theirs from the id of the run."""

    def generate_trace_id(self) -> int:
        run = _RUN.get()
        return super().generate_trace_id() if run is None else run.trace_id

    def generate_span_id(self) -> int:
        run = _RUN.get()
        return super().generate_span_id() if run is None else run.span_id


class OtlpTraces:
    """ports.Tracing, sent by OTLP over HTTP in batches, from a thread of its own."""

    on = True

    def __init__(self) -> None:
        named = Resource({SERVICE_NAME: "regrade", SERVICE_VERSION: __version__}).merge(
            OTELResourceDetector().detect()
        )
        self._provider = TracerProvider(resource=named, id_generator=_Ids(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("regrade", __version__)
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def request(self, method: str, headers: Mapping[str, str]) -> Iterator[Span]:
        """See ports.Tracing."""
        parent = self._propagator.extract({"traceparent": headers.get("traceparent", "")}, Context())
        facts = {"http.request.method": method}
        with self._span(method, SpanKind.SERVER, facts, parent) as span:
            yield span

    @contextmanager
    def chunk(self, run_id: str, k: int) -> Iterator[Span]:
        """See ports.Tracing."""
        parent = trace.set_span_in_context(trace.NonRecordingSpan(self.of_run(run_id)), Context())
        with self._span("chunk", SpanKind.INTERNAL, {"regrade.run.id": run_id, "regrade.chunk": k}, parent) as span:
            yield span

    @contextmanager
    def call(self, model: str, api: str) -> Iterator[Span]:
        """See ports.Tracing; named as OpenTelemetry's conventions for generative models say."""
        operation = {"chat": "chat", "responses": "chat", "embeddings": "embeddings"}.get(api, api)
        facts = {"gen_ai.operation.name": operation, "gen_ai.request.model": model}
        with self._span(f"{operation} {model}", SpanKind.CLIENT, facts) as span:
            yield span

    def run_ended(self, run: Run) -> None:
        """See ports.Tracing."""
        facts: dict[str, str | int] = {
            "regrade.run.id": run.id,
            "regrade.eval.id": run.eval_id,
            "regrade.run.status": run.status,
            "regrade.run.rows": run.rows or 0,
        }
        token = _RUN.set(self.of_run(run.id))
        try:
            span = self._tracer.start_span(
                "run", Context(), attributes=facts, start_time=run.created_at * _NANOSECONDS
            )
        finally:
            _RUN.reset(token)
        if run.status == "failed":
            span.set_status(Status(StatusCode.ERROR))
        span.end((run.finished_at or run.created_at) * _NANOSECONDS)

    def flush(self) -> None:
        """Send what has not been sent, for at most two seconds."""
        self._provider.force_flush(_FLUSH_MILLISECONDS)

    def of_run(self, run_id: str) -> SpanContext:
        """The context of a run's span: its trace's id is what follows the prefix of the run's."""
        trace_id = int(run_id.removeprefix(PREFIXES["run"]), 16)
        decision = self._provider.sampler.should_sample(None, trace_id, "run").decision
        sampled = decision is Decision.RECORD_AND_SAMPLE
        flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
        return SpanContext(trace_id, (trace_id & _LOW_64_BITS) or 1, is_remote=True, trace_flags=flags)

    @contextmanager
    def _span(
        self, name: str, kind: SpanKind, facts: Mapping[str, str | int], parent: Context | None = None
    ) -> Iterator[Span]:
        with self._tracer.start_as_current_span(
            name,
            parent,
            kind,
            facts,
            record_exception=False,  # messages may quote what clients have sent
            set_status_on_exception=False,
        ) as span:
            try:
                yield _OtelSpan(span, self)
            except BaseException as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(Status(StatusCode.ERROR))
                raise


class _OtelSpan:
    """ports.Span."""

    def __init__(self, span: trace.Span, traces: OtlpTraces) -> None:
        self._span = span
        self._traces = traces

    def note(self, facts: Mapping[str, str | int], *, name: str | None = None) -> None:
        """See ports.Span."""
        self._span.set_attributes(facts)
        if name is not None:
            self._span.update_name(name)

    def leads_to(self, run_id: str) -> None:
        """See ports.Span."""
        self._span.add_link(self._traces.of_run(run_id))
        self._span.set_attribute("regrade.run.id", run_id)
