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

    def start(contexts, refused=()):
        got, opened = [], []

        def store(event):
            dataset = event.dataset
            dataset.file_meta = event.file_meta
            status = dict(refused).get(dataset.SOPClassUID, 0x0000)
            if status == 0x0000:
                got.append(dataset)
            return status

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


def test_a_node_that_takes_no_segmentation_gets_the_rtstruct_and_a_remark_says_so(node, seg, written):
    there, got, _ = node({RTStructureSetStorage: [ImplicitVRLittleEndian]})
    sent = send([seg, written], there, calling_ae="PENUMBRA")
    assert [(each.stored, each.status) for each in sent] == [(True, 0), (False, None)]
    assert "does not take Segmentation Storage" in sent[1].remark
    assert [each.Modality for each in got] == ["RTSTRUCT"]


def test_a_segmentation_that_is_refused_with_a_status_keeps_it(node, seg, written):
    contexts = {
        RTStructureSetStorage: [ImplicitVRLittleEndian],
        SegmentationStorage: [ExplicitVRLittleEndian],
    }
    there, _, _ = node(contexts, refused={SegmentationStorage: 0xA700})
    _, refused = send([written, seg], there, calling_ae="PENUMBRA")
    assert (refused.stored, refused.status) == (False, 0xA700)
    assert "out of resources" in refused.remark


def test_without_an_rtstruct_every_object_matters(node, seg):
    there, _, _ = node({SegmentationStorage: [ExplicitVRLittleEndian]}, refused={SegmentationStorage: 0xA700})
    with pytest.raises(DeliveryError, match="out of resources"):
        send([seg], there, calling_ae="PENUMBRA")
