from __future__ import annotations

import numpy as np
import PIL
import pytest
from PIL import Image

from archatlas.data.pictures import UnreadableError, centre_box, is_grey, random_box, read_picture, square_pixels

RED = (200, 30, 60)


@pytest.mark.parametrize(
    ("mode", "suffix", "read_as"),
    [
        ("RGB", "png", "RGB"),
        ("RGBA", "png", "RGB"),
        ("P", "png", "RGB"),
        ("CMYK", "tif", "RGB"),
        pytest.param(
            *("YCbCr", "tif", "RGB"),
            marks=pytest.mark.skipif(int(PIL.__version__.split(".")[0]) < 13, reason="older ones write it cut short"),
        ),
        ("L", "png", "L"),
        ("LA", "png", "L"),
        ("1", "png", "L"),
        ("RGB", "webp", "RGB"),
        ("RGB", "gif", "RGB"),
    ],
)
def test_modes_become_grey_or_colour(tmp_path, mode, suffix, read_as):
    path = tmp_path / f"x.{suffix}"
    Image.new("RGB", (12, 7), RED).convert(mode).save(path)
    picture = read_picture(path)
    assert (picture.mode, picture.size) == (read_as, (12, 7))
    if read_as == "RGB":
        assert np.abs(np.asarray(picture).mean(axis=(0, 1)) - RED).max() < 20  # palettes are dithered
        assert not is_grey(picture)
    else:
        assert is_grey(picture)


def test_a_palette_with_transparency_is_read_without_a_warning(tmp_path):
    picture = Image.new("P", (4, 4), 1)
    picture.putpalette([0, 0, 0, *RED])
    picture.save(tmp_path / "x.png", transparency=bytes([0, 128]))
    assert read_picture(tmp_path / "x.png").getpixel((0, 0)) == RED


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_keeps_the_upper_8_bits(tmp_path, suffix):
    values = np.array([[0, 255, 256], [0x7FFF, 0x8000, 0xFFFF]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / f"x.{suffix}")
    assert np.asarray(read_picture(tmp_path / f"x.{suffix}")).tolist() == [[0, 0, 1], [127, 128, 255]]


def test_32_bit_grey_is_read_within_16_bits_and_refused_beyond(tmp_path):
    Image.fromarray(np.full((2, 2), 0x1234, np.int32)).save(tmp_path / "x.tif")
    assert np.asarray(read_picture(tmp_path / "x.tif")).tolist() == [[0x12] * 2] * 2
    for value in (-1, 0x10000):
        Image.fromarray(np.full((2, 2), value, np.int32)).save(tmp_path / "x.tif")
        with pytest.raises(UnreadableError, match="grey levels of 16 bits"):
            read_picture(tmp_path / "x.tif")


def test_floats_and_broken_files_are_refused(tmp_path):
    Image.fromarray(np.zeros((2, 2), np.float32)).save(tmp_path / "x.tif")
    with pytest.raises(UnreadableError, match="floating-point"):
        read_picture(tmp_path / "x.tif")
    (tmp_path / "x.png").write_bytes(b"")
    with pytest.raises(UnreadableError, match="cannot identify"):
        read_picture(tmp_path / "x.png")
    with pytest.raises(UnreadableError, match="No such file"):
        read_picture(tmp_path / "absent.png")


def test_pictures_are_turned_upright(tmp_path):
    picture = Image.new("RGB", (10, 4))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "x.jpg", exif=exif)
    assert read_picture(tmp_path / "x.jpg").size == (4, 10)


def test_equal_channels_are_grey():
    pixels = np.repeat(np.arange(16, dtype=np.uint8).reshape(4, 4, 1), 3, axis=2)
    assert is_grey(Image.fromarray(pixels))
    pixels[2, 2, 1] += 1
    assert not is_grey(Image.fromarray(pixels))


@pytest.mark.parametrize("size", [(30, 20), (20, 30), (20, 20)])
def test_the_centre_is_the_largest_square_in_the_middle(size):
    left, top, right, bottom = centre_box(*size)
    assert right - left == bottom - top == min(size)
    assert (left + right, top + bottom) == size


@pytest.mark.parametrize("size", [(40, 30), (30, 40), (100, 10), (1, 1)])
def test_random_boxes_lie_inside_and_keep_their_share(size):
    stream = np.random.default_rng(0)
    boxes = [random_box(*size, scale=0.3, stream=stream) for _ in range(200)]
    for left, top, right, bottom in boxes:
        assert 0 <= left < right <= size[0] + 1e-9
        assert 0 <= top < bottom <= size[1] + 1e-9
        if (left, top, right, bottom) != centre_box(*size):
            assert 0.3 - 1e-9 <= (right - left) * (bottom - top) / (size[0] * size[1]) <= 1 + 1e-9
            assert 3 / 4 - 1e-9 <= (right - left) / (bottom - top) <= 4 / 3 + 1e-9
    assert random_box(100, 10, scale=1.0, stream=stream) == centre_box(100, 10)


def test_a_box_is_resized():
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, 3:] = RED
    square = square_pixels(Image.fromarray(pixels), (5, 2, 8, 5), resolution=2, channels=3)
    assert square.shape == (3, 2, 2)
    assert square.flatten(1).T.tolist() == [list(RED)] * 4
    assert square_pixels(Image.fromarray(pixels), (0, 0, 8, 8), resolution=5, channels=1).shape == (1, 5, 5)
