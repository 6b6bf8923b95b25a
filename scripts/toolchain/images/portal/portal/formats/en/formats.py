"""Day before month, month in letters: nobody takes one for the other."""

DATE_FORMAT = "j F Y"
SHORT_DATETIME_FORMAT = "j M Y, H:i"
