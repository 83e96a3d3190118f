"""An aggregate that adds packed histograms, so that many cells are summed up at once in little memory and time."""

from django.db import migrations

# sum(numeric) holds 16 kB for each group of numbers as long as these until it is done, and takes 5 µs to give back the sum of a
# single one; this one holds the sum itself, and of a single one it is that one.
ADD = "CREATE AGGREGATE add_histograms(numeric) (SFUNC = numeric_add, STYPE = numeric, COMBINEFUNC = numeric_add, PARALLEL = SAFE)"
GONE = "DROP AGGREGATE add_histograms(numeric)"


class Migration(migrations.Migration):
    dependencies = [("metrics", "0007_ends_of_alerts")]

    operations = [migrations.RunSQL(ADD, GONE)]
