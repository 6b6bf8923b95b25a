"""The first table."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Questions."""

    initial = True
    dependencies = ()
    operations = (
        migrations.CreateModel(
            name="Question",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("visitor", models.UUIDField()),
                ("collection", models.CharField(max_length=40)),
                ("asked_at", models.DateTimeField(auto_now_add=True)),
                ("outcome", models.CharField(max_length=12)),
                ("message_id", models.CharField(max_length=255)),
            ],
            options={
                "ordering": ("-asked_at", "-id"),
                "indexes": [models.Index(fields=["visitor", "-asked_at"], name="question_of_visitor")],
            },
        ),
    )
