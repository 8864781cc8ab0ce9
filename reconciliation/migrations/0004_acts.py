from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    # The table is large and written to all the time: no lock for as long as the indexes take.
    atomic = False

    dependencies = [
        ('reconciliation', '0003_discrepancy_counted'),
    ]

    operations = [
        migrations.AlterField(
            model_name='auditentry',
            name='kind',
            field=models.CharField(choices=[('run', 'Run'), ('repair', 'Repair by hand'), ('dismissal', 'Discrepancy dismissed'), ('review', 'Disappearance decided'), ('acknowledgement', 'Incident acknowledged'), ('manual_sync', 'Sync asked for'), ('cancel', 'Run cancelled'), ('breaker', 'Breaker closed by hand'), ('dead_letter', 'Dead letter decided'), ('login', 'Logged in'), ('login_failed', 'Log-in failed'), ('replay', 'Delivery replayed'), ('read_again', 'List to be read again'), ('configuration', 'Changed in the admin')], max_length=20),
        ),
        AddIndexConcurrently(
            model_name='auditentry',
            index=models.Index(condition=models.Q(('correlation_id__isnull', False)), fields=['correlation_id'], name='audit_entry_of_run'),
        ),
        AddIndexConcurrently(
            model_name='auditentry',
            index=models.Index(condition=models.Q(('actor_name', 'system'), _negated=True), fields=['actor_name', '-at'], name='audit_entry_of_person'),
        ),
    ]
