import surveys.models.journeys
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('surveys', '0019_how_scores_are_told'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='durationledger',
            name='duration_ledger_basis',
        ),
        migrations.AddField(
            model_name='organisation',
            name='closed_days',
            field=models.JSONField(blank=True, default=list, validators=[surveys.models.journeys.validate_days], verbose_name='closed days'),
        ),
        migrations.AddField(
            model_name='organisation',
            name='holiday_country',
            field=models.CharField(blank=True, default='', max_length=2, verbose_name='public holidays'),
        ),
        migrations.AddField(
            model_name='organisation',
            name='holiday_subdivision',
            field=models.CharField(blank=True, default='', help_text='Where a country’s regions have holidays of their own, such as BY for Bavaria. Empty: those of all.', max_length=40, verbose_name='region'),
        ),
        migrations.AddField(
            model_name='organisation',
            name='open_days',
            field=models.JSONField(blank=True, default=list, validators=[surveys.models.journeys.validate_days], verbose_name='extra open days'),
        ),
        migrations.AddField(
            model_name='organisation',
            name='working_hours',
            field=models.JSONField(blank=True, default=dict, validators=[surveys.models.journeys.validate_working_hours], verbose_name='working hours'),
        ),
        migrations.AddField(
            model_name='ticket',
            name='business_s',
            field=models.BigIntegerField(blank=True, editable=False, null=True, verbose_name='business time (s)'),
        ),
        migrations.AddField(
            model_name='ticket',
            name='first_business_s',
            field=models.BigIntegerField(blank=True, editable=False, null=True, verbose_name='business time to the first response (s)'),
        ),
        migrations.AlterField(
            model_name='durationledger',
            name='basis',
            field=models.CharField(choices=[('resolved', 'Resolved'), ('opened', 'Opened'), ('answered', 'Answered'), ('resolved-business', 'Resolved Business'), ('opened-business', 'Opened Business'), ('answered-business', 'Answered Business')], max_length=20),
        ),
        migrations.AddConstraint(
            model_name='durationledger',
            constraint=models.CheckConstraint(condition=models.Q(('basis__in', ['resolved', 'opened', 'answered', 'resolved-business', 'opened-business', 'answered-business'])), name='duration_ledger_basis'),
        ),
        migrations.AddIndex(
            model_name='ticket',
            index=models.Index(condition=models.Q(('in_ttr', True), ('resolved_at__isnull', False)), fields=['day_resolved'], name='ticket_resolved_on'),
        ),
    ]
