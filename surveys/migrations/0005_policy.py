
import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('surveys', '0004_widget'),
    ]

    operations = [
        migrations.CreateModel(
            name='Reminder',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveSmallIntegerField(verbose_name='number')),
                ('status', models.CharField(choices=[('scheduled', 'Scheduled'), ('sent', 'Sent'), ('cancelled', 'Cancelled'), ('failed', 'Failed')], default='scheduled', max_length=10, verbose_name='status')),
                ('reason', models.CharField(blank=True, choices=[('answered', 'Answered'), ('unsubscribed', 'Unsubscribed'), ('bounced', 'Address bounced'), ('no_address', 'No address'), ('reopened', 'The ticket was reopened'), ('expired', 'The link has expired'), ('erased', 'The customer was erased'), ('inactive', 'The rule or touchpoint is switched off'), ('undeliverable', 'Could not be delivered')], default='', max_length=20, verbose_name='reason')),
                ('send_at', models.DateTimeField(verbose_name='send at')),
                ('lease_until', models.DateTimeField(blank=True, editable=False, null=True)),
                ('attempted_at', models.DateTimeField(blank=True, null=True, verbose_name='attempted')),
                ('attempts', models.PositiveSmallIntegerField(default=0, verbose_name='attempts')),
                ('sent_at', models.DateTimeField(blank=True, null=True, verbose_name='sent')),
            ],
            options={
                'verbose_name': 'reminder',
                'verbose_name_plural': 'reminders',
            },
        ),
        migrations.CreateModel(
            name='WrittenAddress',
            fields=[
                ('address_hash', models.CharField(max_length=64, primary_key=True, serialize=False, verbose_name='address hash')),
                ('last_message_at', models.DateTimeField(verbose_name='last message')),
            ],
            options={
                'verbose_name': 'written address',
                'verbose_name_plural': 'written addresses',
            },
        ),
        migrations.AddField(
            model_name='deliveryattempt',
            name='reminder',
            field=models.PositiveSmallIntegerField(default=0, verbose_name='reminder'),
        ),
        migrations.AddField(
            model_name='invitation',
            name='quota_day',
            field=models.DateField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name='invitation',
            name='reminded_at',
            field=models.DateTimeField(blank=True, null=True, verbose_name='reminded'),
        ),
        migrations.AddField(
            model_name='invitation',
            name='tried_at',
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name='invitationrule',
            name='at_time',
            field=models.TimeField(blank=True, null=True, verbose_name='at'),
        ),
        migrations.AddField(
            model_name='invitationrule',
            name='days',
            field=models.JSONField(blank=True, default=list, verbose_name='days of the week'),
        ),
        migrations.AddField(
            model_name='invitationrule',
            name='exempt_floor',
            field=models.CharField(blank=True, default='', max_length=500, verbose_name='exempt from the floor, because'),
        ),
        migrations.AddField(
            model_name='invitationrule',
            name='exempt_resting',
            field=models.CharField(blank=True, default='', max_length=500, verbose_name='exempt from resting, because'),
        ),
        migrations.AddField(
            model_name='invitationrule',
            name='priority',
            field=models.SmallIntegerField(default=0, validators=[django.core.validators.MinValueValidator(-100), django.core.validators.MaxValueValidator(100)], verbose_name='priority'),
        ),
        migrations.AddField(
            model_name='invitationrule',
            name='quota',
            field=models.PositiveIntegerField(blank=True, null=True, verbose_name='messages per day at most'),
        ),
        migrations.AlterField(
            model_name='invitation',
            name='reason',
            field=models.CharField(blank=True, choices=[('unsubscribed', 'Unsubscribed'), ('bounced', 'Address bounced'), ('consent_missing', 'No consent'), ('no_address', 'No address'), ('ineligible', "The rule's condition was not met"), ('resting_same', 'Asked about this recently'), ('resting_any', 'Asked recently'), ('floor_24h', 'Another message less than a day ago'), ('quota_full', 'Quota full'), ('sampled_out', 'Not in the sample'), ('expired', 'The interaction is too long ago'), ('reopened', 'The ticket was reopened'), ('superseded', 'Another invitation took its place'), ('erased', 'The customer was erased'), ('inactive', 'The rule or touchpoint is switched off'), ('undeliverable', 'Could not be delivered')], default='', max_length=20, verbose_name='reason'),
        ),
        migrations.AddIndex(
            model_name='invitation',
            index=models.Index(condition=models.Q(('status', 'scheduled')), fields=['customer'], name='invitation_waiting'),
        ),
        migrations.AddIndex(
            model_name='invitation',
            index=models.Index(condition=models.Q(('quota_day__isnull', False)), fields=['rule', 'quota_day'], name='invitation_of_quota'),
        ),
        migrations.AddField(
            model_name='reminder',
            name='invitation',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='reminders', to='surveys.invitation'),
        ),
        migrations.AddIndex(
            model_name='reminder',
            index=models.Index(condition=models.Q(('status', 'scheduled')), fields=['send_at'], name='reminder_due'),
        ),
        migrations.AddConstraint(
            model_name='reminder',
            constraint=models.UniqueConstraint(fields=('invitation', 'number'), name='reminder_once'),
        ),
        migrations.AddConstraint(
            model_name='reminder',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status__in', ['cancelled', 'failed']), _negated=True), models.Q(('reason', ''), _negated=True), _connector='OR'), name='reminder_refused_has_reason'),
        ),
    ]
