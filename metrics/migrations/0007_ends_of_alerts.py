"""An address that was told that an alert fired is told once more, when it is over."""

from django.db import migrations, models

WHY = [
    ("back", "on the right side again"),
    ("quiet", "no longer so, twice in a row"),
    ("unknown", "too few to say, for two weeks"),
    ("off", "its rule, or all that it watches, was switched off"),
]


class Migration(migrations.Migration):
    dependencies = [("metrics", "0006_months_of_modes")]

    operations = [
        migrations.AddField(
            model_name="alertnotice",
            name="tells",
            field=models.CharField(
                choices=[("fired", "that it fired"), ("over", "that it is over")],
                db_default="fired", default="fired", max_length=5, verbose_name="tells",
            ),
        ),
        migrations.RemoveConstraint(model_name="alertnotice", name="alert_notice_once_per_address"),
        migrations.AddConstraint(
            model_name="alertnotice",
            constraint=models.UniqueConstraint(
                fields=("address", "alert", "tells"), name="alert_notice_once_per_address"
            ),
        ),
        migrations.AlterField(
            model_name="alert",
            name="cleared_why",
            field=models.CharField(
                blank=True, choices=WHY, default="", max_length=10, verbose_name="why it cleared"
            ),
        ),
    ]  # fmt: skip
