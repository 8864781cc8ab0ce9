import django.contrib.postgres.indexes
import django.db.models.functions.text
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    # The tables are large and written to all the time: no lock for as long as the indexes take.
    atomic = False

    dependencies = [
        ('syncsvc', '0007_figures'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='delivery',
            index=models.Index(condition=models.Q(('status', 'processed'), _negated=True), fields=['status', '-received_at', '-id'], name='delivery_unusual'),
        ),
        AddIndexConcurrently(
            model_name='repository',
            index=models.Index(fields=['owner', 'name', 'id'], name='repository_in_order'),
        ),
        AddIndexConcurrently(
            model_name='repository',
            index=models.Index(django.contrib.postgres.indexes.OpClass(django.db.models.functions.text.Lower('name'), name='text_pattern_ops'), name='repository_by_name'),
        ),
    ]
