from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    # The table is large and written to all the time: no lock for as long as the index takes.
    atomic = False

    dependencies = [
        ('reconciliation', '0004_acts'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='auditentry',
            index=models.Index(condition=models.Q(('repository', ''), _negated=True), fields=['repository', '-at'], name='audit_entry_of_repository'),
        ),
    ]
