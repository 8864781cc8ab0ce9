from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    # The table is large and written to all the time: no lock for as long as the indexes take.
    atomic = False

    dependencies = [
        ('syncsvc', '0006_people'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='syncjob',
            index=models.Index(condition=models.Q(('dry_run', False), ('finished_at__isnull', False), models.Q(('mode__in', ['recheck', 'audit']), _negated=True)), fields=['finished_at'], include=('installation', 'status', 'started_at'), name='job_counted'),
        ),
        AddIndexConcurrently(
            model_name='syncjob',
            index=models.Index(condition=models.Q(('finished_at__isnull', False), models.Q(('mode__in', ['recheck', 'audit']), _negated=True)), fields=['installation', '-finished_at'], name='job_ended_of_account'),
        ),
    ]
