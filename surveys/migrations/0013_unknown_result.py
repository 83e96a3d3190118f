"""A try of which nobody knows whether it arrived is told apart from one that failed."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('surveys', '0012_attempts_by_time'),
    ]

    operations = [
        migrations.AlterField(
            model_name='deliveryattempt',
            name='result',
            field=models.CharField(choices=[('sent', 'Accepted'), ('temporary', 'Temporary failure'), ('permanent', 'Permanent failure'), ('unknown', 'Handed over, no word')], max_length=10, verbose_name='result'),
        ),
    ]
