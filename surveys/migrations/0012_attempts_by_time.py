"""Pages on invitations read the tries of a span of days; tries are only ever added, so a BRIN index of a few pages finds them."""

from django.contrib.postgres.indexes import BrinIndex
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("surveys", "0011_letters")]

    operations = [
        migrations.AddIndex(
            model_name="deliveryattempt", index=BrinIndex(fields=["at"], name="attempt_by_time", autosummarize=True)
        ),
    ]
