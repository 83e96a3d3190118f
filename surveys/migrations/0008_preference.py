"""By which means somebody would rather be asked: of a customer, and of a segment."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('surveys', '0007_suppression_scopes'),
    ]

    operations = [
        migrations.AddField(
            model_name='customer',
            name='preferred_modes',
            field=models.CharField(blank=True, db_default='', default='', max_length=60, verbose_name='prefers'),
        ),
        migrations.AddField(
            model_name='organisation',
            name='preferences',
            field=models.JSONField(blank=True, default=dict, verbose_name='preferred means'),
        ),
    ]
