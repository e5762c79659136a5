"""A segmentation goes with the RTSTRUCT over one association, compressed or not as the node takes it."""

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    RTStructureSetStorage,
    SegmentationStorage,
)
from pynetdicom import AE, evt

from worker.delivery import DeliveryError, Node, send
from worker.seg import write_mean_seg


@pytest.fixture(scope="module")
def seg(result, draw, tmp_path_factory):
    path = tmp_path_factory.mktemp("seg") / "seg.dcm"
    write_mean_seg(result, path, identity=draw.identity)
    return path


@pytest.fixture
def node():
    servers = []

    def start(contexts):
        got, opened = [], []

        def store(event):
            dataset = event.dataset
            dataset.file_meta = event.file_meta
            got.append(dataset)
            return 0x0000

        ae = AE(ae_title="PACS")
        for sop_class, syntaxes in contexts.items():
            ae.add_supported_context(sop_class, syntaxes)
        handlers = [(evt.EVT_C_STORE, store), (evt.EVT_ACCEPTED, lambda _: opened.append(1))]
        servers.append(ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers))
        return Node(ae_title="PACS", host="127.0.0.1", port=servers[-1].server_address[1]), got, opened

    yield start
    for server in servers:
        server.shutdown()


@pytest.mark.parametrize("syntax", [RLELossless, ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_both_arrive_over_one_association_with_the_same_voxels(node, seg, written, syntax):
    there, got, opened = node(
        {RTStructureSetStorage: [ImplicitVRLittleEndian], SegmentationStorage: [syntax]}
    )
    sent = send([written, seg], there, calling_ae="PENUMBRA")
    assert [each.status for each in sent] == [0, 0] and opened == [1]
    assert got[1].file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(got[1].pixel_array, dcmread(seg).pixel_array)
    assert got[1].PatientName == dcmread(seg).PatientName


def test_a_node_that_takes_no_segmentation_is_named_with_the_kind(node, seg, written):
    there, _, _ = node({RTStructureSetStorage: [ImplicitVRLittleEndian]})
    with pytest.raises(DeliveryError, match="does not take Segmentation Storage"):
        send([written, seg], there, calling_ae="PENUMBRA")
