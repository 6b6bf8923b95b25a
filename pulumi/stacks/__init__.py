"""Components and providers of the platform's Pulumi programs."""
