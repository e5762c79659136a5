import numpy as np

from models.preprocessing import anatomy_guided_input, ct_channels


def test_channels_tell_soft_tissue_and_bone():
    soft, wide = ct_channels(np.array([[[-1000, -200, 50, 300, 900]]], np.int16))[:, 0, 0]
    assert np.allclose(soft, [-1, -1, 0, 1, 1])
    assert (np.diff(wide) > 0).all()


def test_the_guide_is_zero_outside_and_never_inside_the_organs():
    hu = np.array([[[-1000, 10, 300, 40]]], np.int16)
    bladder = np.array([[[True, True, False, False]]])
    rectum = np.array([[[False, False, True, False]]])
    x = anatomy_guided_input(hu, bladder, rectum)
    assert x.shape == (3, 1, 1, 4)
    assert np.allclose(x[:2], ct_channels(hu))
    assert np.allclose(x[2, 0, 0], [0.2, 0.6 + 0.4 * (-0.16), 1.0, 0.0], atol=1e-6)
