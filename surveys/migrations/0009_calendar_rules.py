"""Rules on a calendar beside those that wait for an event: once in each period, each customer on a day of it."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('surveys', '0008_preference'),
    ]

    operations = [
        migrations.CreateModel(
            name='CalendarPass',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('through', models.DateField()),
                ('until', models.DateField(blank=True, null=True)),
                ('cursor', models.BigIntegerField(default=0)),
            ],
            options={
                'verbose_name': 'pass of a calendar',
                'verbose_name_plural': 'passes of calendars',
            },
        ),
        migrations.AddField(
            model_name='invitation',
            name='period',
            field=models.DateField(blank=True, null=True, verbose_name='period from'),
        ),
        migrations.AddField(
            model_name='invitationrule',
            name='calendar',
            field=models.CharField(blank=True, choices=[('month', 'Each month'), ('quarter', 'Each quarter'), ('half_year', 'Each half-year'), ('year', 'Each year')], db_default='', default='', max_length=10, verbose_name='calendar'),
        ),
        migrations.AlterField(
            model_name='invitationrule',
            name='event_type',
            field=models.CharField(blank=True, default='', max_length=100, verbose_name='event type'),
        ),
        migrations.AddConstraint(
            model_name='invitation',
            constraint=models.UniqueConstraint(condition=models.Q(('period__isnull', False)), fields=('rule', 'customer', 'period'), name='invitation_once_per_period'),
        ),
        migrations.AddConstraint(
            model_name='invitationrule',
            constraint=models.CheckConstraint(condition=models.Q(('event_type', ''), ('calendar', ''), _connector='XOR'), name='rule_has_event_or_calendar'),
        ),
        migrations.AddField(
            model_name='calendarpass',
            name='rule',
            field=models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='calendar_pass', to='surveys.invitationrule', verbose_name='rule'),
        ),
    ]
