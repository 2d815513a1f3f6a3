"""What people and models say in chat completions, at random."""

from hypothesis import strategies as st

words = st.text(st.characters(codec="utf-8"), max_size=8)
spoken = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
calls = st.lists(
    st.one_of(
        st.builds(
            lambda name, arguments: {"type": "function", "function": {"name": name, "arguments": arguments}},
            words,
            words,
        ),
        st.builds(lambda name, text: {"type": "custom", "custom": {"name": name, "input": text}}, words, words),
    ),
    min_size=1,
    max_size=3,
).map(lambda found: [{"id": f"call_{index}", **call} for index, call in enumerate(found)])
