"""What /metrics says, read by Prometheus' own library."""

from prometheus_client.parser import text_string_to_metric_families


def samples(text):
    """Every sample by its name and labels, as Prometheus' own library reads them."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
