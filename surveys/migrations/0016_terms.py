"""What responses are found by, and that all there are wait for theirs."""

import django.contrib.postgres.indexes
import django.contrib.postgres.search
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('surveys', '0015_consent'),
    ]

    operations = [
        migrations.CreateModel(
            name='TermsDue',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('response_id', models.BigIntegerField()),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='ResponseTerms',
            fields=[
                ('response', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='terms', serialize=False, to='surveys.response')),
                ('terms', django.contrib.postgres.search.SearchVectorField()),
            ],
            options={
                'default_permissions': (),
                'indexes': [django.contrib.postgres.indexes.GinIndex(fastupdate=False, fields=['terms'], name='response_terms')],
            },
        ),
        # The newest first: they are looked for first. A worker makes the terms; meanwhile pages say that some are missing.
        migrations.RunSQL(
            "INSERT INTO surveys_termsdue (response_id) SELECT id FROM surveys_response ORDER BY responded_at DESC",
            migrations.RunSQL.noop,
        ),
    ]
