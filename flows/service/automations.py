"""Automations of the server: runs that have fallen silent are crashed, and people are told what goes wrong.

Messages are sent by a notification block of Prefect that the setting `notify` names. Without one there is nobody to
tell, and these automations do not exist.
"""

from __future__ import annotations

from datetime import timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import BlockDocument, StateType
from prefect.events.actions import ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound

from flows.service.service_watch import BACKLOG_GROWS, DISK_LOW
from flows.service.work import HEARTBEAT_S
from storage.errors import UsageError
from storage.text.names import visible

# Three missed heartbeats.
_DEAD_AFTER = timedelta(seconds=3 * HEARTBEAT_S)
_HEARTBEAT = "prefect.flow-run.heartbeat"
_ENDS = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}
# Deployments of the nightly work. A failed `retry` is followed by another within the hour.
_TOLD_OF = ["pipeline", "refine", "train"]
# Name, event, subject and text of each message about a lake. Prefect fills in the event.
_OF_LAKE = (
    (
        "a lake found broken is told",
        "lake.broken",
        "facemill: {{ event.payload.findings }} findings in {{ event.payload.lake }}",
        "The check found {{ event.payload.findings }} faults in {{ event.payload.lake }} while "
        "{{ event.payload.at_work }} units were being worked on. `facemill check` lists them, and with `--repair` "
        "repairs what it can.",
    ),
    (
        "a disk that will be full is told",
        DISK_LOW,
        "facemill: the disk of {{ event.payload.lake }} has room for {{ event.payload.days }} days",
        "{{ event.payload.free_bytes }} bytes are free on the disk of {{ event.payload.lake }}; at the rate of the "
        "last {{ event.payload.hours }} hours that is enough for {{ event.payload.days }} days (limit: "
        "{{ event.payload.limit_days }}). `facemill status --disk` tells what takes how much, `facemill prune` removes "
        "old versions.",
    ),
    (
        "a retry backlog that grows is told",
        BACKLOG_GROWS,
        "facemill: {{ event.payload.due }} links are due for retry in {{ event.payload.lake }}",
        "{{ event.payload.due }} links are due for retry, {{ event.payload.grown }} more than the least of the last "
        "{{ event.payload.hours }} hours (limit: {{ event.payload.limit }}). `facemill doctor` tells "
        "whether the retry runs get their turn, `facemill status --hosts` which hosts fail.",
    ),
)
_RUN_FAILED = "a nightly run that failed is told"


def make_automations(client: SyncPrefectClient, notify: str = "") -> None:
    """Create or replace all automations. Those that tell people are removed if `notify` names nothing.

    Args:
        notify: a notification block as Prefect names it, `type/name`, or empty.

    Raises:
        UsageError: there is no such block, or it sends no notifications.
    """
    told = tellers(_block(client, notify)) if notify else []
    wanted = [_silent_runs(), *told]
    for name in {one.name for one in wanted} | {_RUN_FAILED, *(name for name, *_ in _OF_LAKE)}:
        for old in client.read_automations_by_name(name):
            client.delete_automation(old.id)
    for one in wanted:
        client.create_automation(one)


def tellers(block: BlockDocument) -> list[AutomationCore]:
    """The automations that send a message by a notification block."""
    failed = EventTrigger(
        expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
        match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
        match_related=ResourceSpecification(
            {"prefect.resource.role": ["deployment"], "prefect.resource.name": _TOLD_OF}
        ),
        posture=Posture.Reactive,
        threshold=1,
    )
    subject = "facemill: {{ flow_run.name }} {{ flow_run.state.name }}"
    text = (
        "The run {{ flow_run.name }} ended as {{ flow_run.state.name }}: {{ flow_run.state.message }}. The next "
        "scheduled run does what it left; its log tells the cause."
    )
    made = [_teller(_RUN_FAILED, failed, block, subject, text)]
    for name, event, subject, text in _OF_LAKE:
        match = ResourceSpecification({"prefect.resource.id": ["facemill.lake"]})
        trigger = EventTrigger(expect={event}, match=match, posture=Posture.Reactive, threshold=1)
        made.append(_teller(name, trigger, block, subject, text))
    return made


def _teller(name: str, trigger: EventTrigger, block: BlockDocument, subject: str, text: str) -> AutomationCore:
    action = SendNotification(block_document_id=block.id, subject=subject, body=text)
    return AutomationCore(name=name, trigger=trigger, actions=[action])


def _block(client: SyncPrefectClient, notify: str) -> BlockDocument:
    kind, _, name = notify.partition("/")
    advice = "`prefect block ls` lists those of the server, docs/guides/alerts.md tells how to make one"
    if not kind or not name or "/" in name:
        raise UsageError(
            f"--notify {visible(notify)} is no block: write TYPE/NAME, such as slack-webhook/ops; {advice}"
        )
    try:
        found = client.read_block_document_by_name(name, kind, include_secrets=False)
    except ObjectNotFound as error:
        raise UsageError(f"--notify {visible(notify)}: the server has no such block; {advice}") from error
    if found.block_schema is None or "notify" not in found.block_schema.capabilities:
        raise UsageError(f"--notify {visible(notify)} is a block that sends no notifications; {advice}")
    return found


def _silent_runs() -> AutomationCore:
    """Mark flow runs without heartbeats crashed: their process and worker were killed, and cannot report it."""
    return AutomationCore(
        name="a run whose heartbeat stops is crashed",
        trigger=EventTrigger(
            after={_HEARTBEAT},
            expect={_HEARTBEAT, *_ENDS},
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=_DEAD_AFTER,
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED, message=f"no heartbeat for {_DEAD_AFTER.seconds} s: the process is gone"
            )
        ],
    )
