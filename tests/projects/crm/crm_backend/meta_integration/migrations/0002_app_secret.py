from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('meta_integration', '0001_initial'),
    ]

    operations = [
        # The column was added by hand on the server first: the database is only told when it lacks it.
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    """
                    ALTER TABLE meta_integration_metaappconfig
                        ADD COLUMN IF NOT EXISTS app_secret varchar(200) NOT NULL DEFAULT '';
                    ALTER TABLE meta_integration_metaappconfig ALTER COLUMN app_secret DROP DEFAULT;
                    """,
                    migrations.RunSQL.noop,
                ),
            ],
            state_operations=[
                migrations.AddField(
                    model_name='metaappconfig',
                    name='app_secret',
                    field=models.CharField(blank=True, default='', max_length=200),
                ),
            ],
        ),
    ]
