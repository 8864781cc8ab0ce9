from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    # The table is large and written to all the time: no lock for as long as the index takes.
    atomic = False

    dependencies = [
        ('reconciliation', '0002_rolled_hours'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='discrepancy',
            index=models.Index(fields=['detected_at'], include=('installation', 'type', 'occurred_at', 'repaired_at'), name='discrepancy_counted'),
        ),
    ]
