"""What an input is taken apart into, and how it is called."""

from __future__ import annotations

import pytest

from tritonface._batch.store import item_of, name_of


@pytest.mark.parametrize(
    ("text", "item", "name"),
    [
        ("", ("", ""), ""),
        ("photos/a b.jpg", ("", "photos/a b.jpg"), "photos/a b.jpg"),
        ("C:\\photos\\a.jpg", ("", "C:\\photos\\a.jpg"), "C:\\photos\\a.jpg"),
        ("https://host/a.jpg?x=1", ("", "https://host/a.jpg?x=1"), "https://host/a.jpg?x=1"),
        ("file:///photos/a.jpg", ("", "/photos/a.jpg"), "/photos/a.jpg"),
        ("s3://bucket", ("s3://bucket", ""), "s3://bucket/"),
        ("s3://bucket/in/a #?.jpg", ("s3://bucket", "in/a #?.jpg"), "s3://bucket/in/a #?.jpg"),
        ("s3://bucket/in/?.jpg", ("s3://bucket", "in/?.jpg"), "s3://bucket/in/?.jpg"),
        (
            "s3://user:secret@bucket/in?region=x&scheme=http",
            ("s3://user:secret@bucket?region=x&scheme=http", "in"),
            "s3://bucket/in",
        ),
    ],
)
def test_a_text_is_taken_apart_and_named_without_secrets(text: str, item: tuple[str, str], name: str) -> None:
    assert item_of(text) == item
    assert name_of(item) == name
