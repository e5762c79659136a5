"""The beginning of a storage commitment: noted in the transaction that notes the delivery."""

import time

from pydicom.uid import generate_uid
from sqlalchemy.orm import object_session

from service.records import CommitmentRecord, DeliveryRecord
from service.settings import ServiceSettings


def begin(delivery: DeliveryRecord, settings: ServiceSettings) -> None:
    """Note that the node that took a delivery is to be asked, if its settings say so (PS3.4 J.3.2)."""
    title = delivery.target or delivery.node
    node, session = settings.node(title), object_session(delivery)
    if session is None or node is None or not node.commitment or not delivery.objects:
        return
    now = time.time()
    session.add(
        CommitmentRecord(
            transaction_uid=generate_uid(prefix=None),
            delivery_id=delivery.id,
            node=title,
            state="waiting",
            next_at=now,
            deadline=now + settings.pacs.commitment_timeout_s,
            created_at=now,
            updated_at=now,
        )
    )
